"""PIP-Net, M-Nauta/PIPNet: _net, _add_on (a convolution, or nothing with weights), _classification."""

from __future__ import annotations

from protoexplain.importing.code import Converted, OfficialCode, Tensors
from protoexplain.importing.components import component_net
from protoexplain.importing.foreign import ForeignModel

_TITLE = "PIP-Net (Nauta et al. 2023)"


def convert(model: ForeignModel, classes: int | None) -> Converted:
    tensors = Tensors(model, _TITLE)
    weight = tensors.take("_classification.weight", None, None)
    net = component_net(
        "pipnet", model, tensors, {"branches.main.head.weight": weight}, weight.shape[0], weight.shape[1]
    )
    tensors.end()
    return net


CODE = OfficialCode(
    title=_TITLE,
    recognises=lambda model: (
        model.has("_classification.weight") and not model.setting("_classification.softmax_pool", bool, False)
    ),
    convert=convert,
)
