"""RBF-net, si-cim/cbc-aaai-2025: with the state dict of PIP-Net, so that whole models or people have to tell."""

from __future__ import annotations

from protoexplain.importing.code import Converted, OfficialCode
from protoexplain.importing.components import shared_head
from protoexplain.importing.foreign import ForeignModel

_TITLE = "RBF-net (Saralajew et al. 2025)"


def convert(model: ForeignModel, classes: int | None) -> Converted:
    return shared_head("rbf_net", _TITLE, model)


CODE = OfficialCode(
    title=_TITLE,
    recognises=lambda model: (
        model.has("_classification.weight") and bool(model.setting("_classification.softmax_pool", bool, False))
    ),
    convert=convert,
)
