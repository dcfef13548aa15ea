"""No network at all: the picture itself as features, for models that compare pictures as they are."""

from __future__ import annotations

from collections.abc import Sequence

from timm.models import register_model
from torch import Tensor, nn


class Pixels(nn.Module):
    """Pictures [B,3,S,S] in [0, 1] -> the same; it offers what `Backbone` asks of a timm model."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_info = [{"num_chs": 3, "reduction": 1, "module": ""}]
        self.pretrained_cfg = {"mean": (0.0,) * 3, "std": (1.0,) * 3, "classifier": None}

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures

    def forward_intermediates(self, pictures: Tensor, indices: Sequence[int], **_: object) -> list[Tensor]:
        """The pictures, once for each index."""
        return [pictures for _ in indices]

    def prune_intermediate_layers(self, indices: Sequence[int], prune_head: bool = False) -> None:
        """There are none."""


@register_model
def pixels(pretrained: bool = False, **_: object) -> Pixels:
    """Features of stride 1 and three channels, without weights."""
    return Pixels()
