"""RBF-net, si-cim/cbc-aaai-2025: with the state dict of PIP-Net, so that whole models or people have to tell."""

from __future__ import annotations

from protoexplain.importing.code import Converted, OfficialCode, Tensors
from protoexplain.importing.components import component_net
from protoexplain.importing.foreign import ForeignModel

_TITLE = "RBF-net (Saralajew et al. 2025)"


def convert(model: ForeignModel, classes: int | None) -> Converted:
    tensors = Tensors(model, _TITLE)
    weight = tensors.take("_classification.weight", None, None)
    net = component_net(
        "rbf_net", model, tensors, {"branches.main.head.weight": weight}, weight.shape[0], weight.shape[1]
    )
    tensors.end()
    return net


CODE = OfficialCode(
    title=_TITLE,
    recognises=lambda model: (
        model.has("_classification.weight") and bool(model.setting("_classification.softmax_pool", bool, False))
    ),
    convert=convert,
)
