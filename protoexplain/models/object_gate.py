"""An object gate: cells that lie beside the object are silent.

A cell of a deep map sees far more of the image than it lies on, so training carries the class into the background, and
a prototype can be answered from there.  The gate tells by a linear classifier of a cell's features whether it lies on
the object, and sets the latent vectors of all other cells to zero, so that no prototype sees them.
B images, D channels of the features, H x W cells.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from protoexplain.models.base import PrototypeModel
from protoexplain.models.precision import in_float32


class LinearGate(nn.Module):
    """Tells by a linear classifier which cells show the object; all do until it is set.

    Args:
        channels: Number D.
    """

    weight: Tensor
    """[D] of the linear classifier."""
    bias: Tensor
    """[1]; a cell is on the object where weight * features + bias > 0."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(channels))
        self.register_buffer("bias", torch.ones(1))

    @in_float32
    def on_object(self, features: Tensor) -> Tensor:
        """bool [B,1,h,w]: the cells that show the object."""
        return F.conv2d(features, self.weight[None, :, None, None], self.bias) > 0


class GatedAddon(LinearGate):
    """Add-on layers and the gate of their cells, which is open everywhere until it is set.

    Args:
        embedding: Features [B,D,h,w] -> latent map [B,d,H,W].
        channels: Number D.
    """

    def __init__(self, embedding: nn.Module, channels: int) -> None:
        super().__init__(channels)
        self.embedding = embedding

    def forward(self, features: Tensor) -> Tensor:
        z: Tensor = self.embedding(features)
        on_object = self.on_object(features).to(z)
        return z * (on_object if on_object.shape[2:] == z.shape[2:] else F.interpolate(on_object, size=z.shape[2:]))


def embedding_of(addon: nn.Module) -> nn.Module:
    """The add-on layers without their gate, if they have one."""
    return addon.embedding if isinstance(addon, GatedAddon) else addon


def gated(model: PrototypeModel, channels: int) -> PrototypeModel:
    """Put a gate, open everywhere, behind the add-on of each branch of a model whose features have these channels."""
    for _, branch in model.named_branches():
        branch.addon = GatedAddon(branch.addon, channels)
    return model


def gates_of(model: PrototypeModel) -> list[GatedAddon]:
    """The gates of a model's branches; none where it has none."""
    return [branch.addon for _, branch in model.named_branches() if isinstance(branch.addon, GatedAddon)]
