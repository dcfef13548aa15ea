"""Deep CBC, si-cim/cbc-aaai-2025: as PIP-Net, with positive and negative reasoning [2K,C] in one tensor."""

from __future__ import annotations

from protoexplain.importing.code import Converted, OfficialCode, Tensors
from protoexplain.importing.components import component_net
from protoexplain.importing.foreign import ForeignModel

_TITLE = "Classification-By-Components (Saralajew et al. 2025)"


def convert(model: ForeignModel, classes: int | None) -> Converted:
    tensors = Tensors(model, _TITLE)
    logits = tensors.take("_classification.reasoning_probabilities", None, None)
    tensors.skip("_classification.reasoning_labels")
    weights = {"branches.main.head.joint_logits": logits}
    net = component_net("cbc", model, tensors, weights, logits.shape[1], logits.shape[0] // 2)
    tensors.end()
    return net


CODE = OfficialCode(
    title=_TITLE,
    recognises=lambda model: model.has("_classification.reasoning_probabilities"),
    convert=convert,
)
