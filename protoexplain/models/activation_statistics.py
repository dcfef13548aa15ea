"""What activations the training images give to each prototype: which one is usual, and from where to where they go.

P prototypes, B images of a batch, H x W cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ActivationStatistics:
    """Over the training images without augmentation.

    Args:
        usual: float32 [P] mean activation; the activation of an image is that of its best cell.
        low: float32 [P] mean of all cells of all images, where the colours of a heat map begin.
        high: float32 [P] second highest activation, where they end: the highest one is that of the image which a
            prototype was written from, and no other image comes near it.
    """

    usual: Tensor
    low: Tensor
    high: Tensor

    def keep(self, prototypes: Tensor) -> ActivationStatistics:
        """Of the chosen prototypes (indices)."""
        return ActivationStatistics(self.usual[prototypes], self.low[prototypes], self.high[prototypes])

    def span(self, prototype: int) -> tuple[float, float]:
        """Low and high of a prototype."""
        return float(self.low[prototype]), float(self.high[prototype])


class RunningStatistics:
    """Gathers the statistics while batches pass by."""

    def __init__(self) -> None:
        self._images = 0
        self._activations, self._cells, self._best = torch.zeros(1), torch.zeros(1), torch.empty(0)

    @torch.no_grad()
    def update(self, maps: Sequence[Tensor]) -> None:
        """Count a batch in: the activation maps [B,P,H,W] of each branch, which may differ in their cells."""
        activations = torch.cat([branch.flatten(2).amax(2) for branch in maps], 1).double().cpu()
        cells = torch.cat([branch.flatten(2).double().mean(2) for branch in maps], 1).cpu()
        self._images += len(activations)
        self._activations, self._cells = self._activations + activations.sum(0), self._cells + cells.sum(0)
        seen = torch.cat([self._best, activations]) if len(self._best) else activations
        self._best = seen.topk(min(2, len(seen)), dim=0).values

    def statistics(self) -> ActivationStatistics:
        """Of all images so far, at least one."""
        usual, low = self._activations / self._images, self._cells / self._images
        return ActivationStatistics(usual.float(), low.float(), self._best[-1].float())
