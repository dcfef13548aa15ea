"""What activations the training images give to each prototype: which one is usual, and from where to where they go.

P prototypes, B images of a batch, H x W cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from protoexplain.models.precision import exact

_HIGH = 0.99


@dataclass(frozen=True, eq=False)
class ActivationStatistics:
    """Over the training images without augmentation.

    Args:
        usual: float32 [P] mean activation; the activation of an image is that of its best cell.
        low: float32 [P] mean of all cells of all images, where the colours of a heat map begin.
        high: float32 [P] activation that one image in a hundred exceeds, where they end; the best image does not count,
            since a prototype may have been written from it, and then no other image comes near.
    """

    usual: Tensor
    low: Tensor
    high: Tensor

    def select(self, prototypes: Tensor) -> ActivationStatistics:
        """Of the chosen prototypes (indices)."""
        return ActivationStatistics(self.usual[prototypes], self.low[prototypes], self.high[prototypes])

    def span(self, prototype: int) -> tuple[float, float]:
        """Low and high of a prototype."""
        return float(self.low[prototype]), float(self.high[prototype])


class RunningStatistics:
    """Gathers the statistics while batches pass by; keeps one number for each image and prototype."""

    def __init__(self) -> None:
        self._activations: list[Tensor] = []
        self._cells: list[Tensor] = []

    @torch.no_grad()
    def update(self, maps: Sequence[Tensor]) -> None:
        """Count a batch in: the activation maps [B,P,H,W] of each branch, which may differ in their cells."""
        flat = [branch.flatten(2) for branch in maps]
        self._activations.append(torch.cat([cells.amax(2) for cells in flat], 1).float().cpu())
        self._cells.append(torch.cat([exact(cells.mean(2)).sum(0) for cells in flat]))

    def statistics(self) -> ActivationStatistics:
        """Of all images so far, at least one."""
        activations = torch.cat(self._activations)
        others = activations.sort(0).values[: max(1, len(activations) - 1)]
        high = np.quantile(others.numpy(), _HIGH, axis=0)
        low = torch.stack(self._cells).sum(0) / len(activations)
        return ActivationStatistics(activations.double().mean(0).float(), low.float(), torch.from_numpy(high).float())
