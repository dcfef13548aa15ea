"""What the codes of PIP-Net and of CBC have in common: names of backbone, add-on and of what belongs to training."""

from __future__ import annotations

import torch
from torch import Tensor

from protoexplain.importing.code import Converted, Tensors, input_settings
from protoexplain.importing.foreign import ForeignModel

_THRESHOLD = 0.1
"""Detections below count as absent at inference, in all of these codes."""


def component_net(
    family: str, model: ForeignModel, tensors: Tensors, head: dict[str, Tensor], classes: int, components: int
) -> Converted:
    """A network over channel components with a head by its names here.

    Raises:
        UserError: The head has a bias.
    """
    backbone, addon = tensors.under("_net."), tensors.under("_add_on.0.")
    bias = tensors.under("_classification.bias")
    tensors.skip("_multiplier", "_classification.normalization_multiplier")
    if any(bool(values.any()) for values in bias.values()):
        raise tensors.refusal("its last layer has a bias, which no prototype explains")
    data, assumed = input_settings(model)
    said = (
        "strides of the last two stages are 1, as published (--set model.backbone.unstrided_stages=1 for 13 x 13 maps)"
    )
    return Converted(
        family=family,
        model={"components": components if addon else 0, "inference_threshold": _THRESHOLD},
        weights={
            **head,
            "branches.main.prototypes": torch.arange(components, dtype=torch.float32).view(-1, 1, 1, 1),
            **{f"branches.main.addon.{name}": tensor for name, tensor in addon.items()},
        },
        backbone=backbone,
        classes=classes,
        backbone_settings={"unstrided_stages": 2},
        data=data,
        assumed=(*assumed, said),
    )


def shared_head(family: str, title: str, model: ForeignModel) -> Converted:
    """A model whose last layer is one matrix [C,K] over the components that all classes share (PIP-Net, RBF-net)."""
    tensors = Tensors(model, title)
    weight = tensors.take("_classification.weight", None, None)
    net = component_net(family, model, tensors, {"branches.main.head.weight": weight}, weight.shape[0], weight.shape[1])
    tensors.end()
    return net
