"""PIP-Net, M-Nauta/PIPNet: _net, _add_on (a convolution, or nothing with weights), _classification."""

from __future__ import annotations

from protoexplain.importing.code import Converted, OfficialCode
from protoexplain.importing.components import shared_head
from protoexplain.importing.foreign import ForeignModel

_TITLE = "PIP-Net (Nauta et al. 2023)"


def convert(model: ForeignModel, classes: int | None) -> Converted:
    return shared_head("pipnet", _TITLE, model)


CODE = OfficialCode(
    title=_TITLE,
    recognises=lambda model: (
        model.has("_classification.weight") and not model.setting("_classification.softmax_pool", bool, False)
    ),
    convert=convert,
)
