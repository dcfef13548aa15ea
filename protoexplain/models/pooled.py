"""A plain classifier on a backbone: mean features, one linear layer, no prototypes.

It prepares a backbone for the data before prototypes are placed on its features, and tells what prototypes cost.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from protoexplain.models.base import PrototypeModel, PrototypeOutput
from protoexplain.models.contract import Ownership


class PooledClassifier(PrototypeModel):
    """Shares the backbone that it is given; has no branch and no prototype.

    Args:
        backbone: Has `channels`.
        classes: Number of classes.
    """

    def __init__(self, backbone: nn.Module, classes: int) -> None:
        super().__init__(backbone, {}, Ownership.of_all(0, classes))
        channels = int(backbone.channels)  # type: ignore[arg-type]
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, classes)

    def from_features(self, features: Tensor, active: str | None = None) -> PrototypeOutput:
        return PrototypeOutput(self.head(self.norm(features).mean((2, 3))), {})

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {**super().parameter_groups(), "head": [*self.norm.parameters(), *self.head.parameters()]}

    def loss_terms(
        self, output: PrototypeOutput, labels: Tensor, names: frozenset[str], active: str | None = None
    ) -> dict[str, Tensor]:
        """cross_entropy."""
        return {"cross_entropy": F.cross_entropy(output.logits, labels)}
