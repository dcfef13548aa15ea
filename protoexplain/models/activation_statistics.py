"""What activations the training images give to each prototype: which one is usual, and from where to where they go.

P prototypes, B images of a batch, H x W cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    """Gathers the statistics while batches pass by; keeps two numbers for each prototype and fifty images.

    Args:
        images: How many there will be at most.
    """

    def __init__(self, images: int) -> None:
        self._kept = images - _place(images)[0]
        self._seen = 0
        self._sum: Tensor | float = 0.0
        self._cells: Tensor | float = 0.0
        self._highest: list[Tensor] = []

    @torch.no_grad()
    def update(self, maps: Sequence[Tensor]) -> None:
        """Count a batch in: the activation maps [B,P,H,W] of each branch, which may differ in their cells."""
        flat = [branch.flatten(2) for branch in maps]
        activations = torch.cat([cells.amax(2) for cells in flat], 1).float().cpu()
        self._seen += len(activations)
        self._sum = self._sum + activations.double().sum(0)
        self._cells = self._cells + torch.cat([exact(cells.mean(2)).sum(0) for cells in flat])
        self._highest.append(activations)
        if sum(map(len, self._highest)) > 2 * self._kept:
            self._highest = [self._first(self._kept)]

    def statistics(self) -> ActivationStatistics:
        """Of all images so far, at least one."""
        place, share = _place(self._seen)
        highest = self._first(self._seen - place)
        below, above = highest[-1], highest[-2 if len(highest) > 2 else -1]
        high = torch.lerp(below.double(), above.double(), share)
        usual, low = (torch.as_tensor(total) / self._seen for total in (self._sum, self._cells))
        return ActivationStatistics(usual.float(), low.float(), high.float())

    def _first(self, count: int) -> Tensor:
        """The highest so many activations [n,P] of each prototype, the highest first."""
        together = torch.cat(self._highest)
        return together.topk(min(count, len(together)), dim=0).values


def _place(images: int) -> tuple[int, float]:
    """Between which activations of so many images, from the lowest on, the high one lies: the number of the lower one,
    and how far it is to the next."""
    exactly = _HIGH * max(0, images - 2)
    return int(exactly), exactly % 1
