"""How many prototypes a model has that differ, against one for each class (ProtoPNeXt, Willard et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

DECIMALS = 8
"""Prototypes that agree to so many are one (published)."""


@dataclass(frozen=True)
class UniquePrototypes:
    """What differs among the prototypes of a branch.

    Args:
        prototypes: How many differ as a whole.
        parts: How many of their vectors differ, one for each of the h x w positions.
        cells: Cells H x W of the latent map.
    """

    prototypes: int
    parts: int
    cells: int

    def sparsity(self, classes: int) -> float:
        """C (1 + 1 / HW) / (U + Up / HW): 1 for one prototype of one cell for each class, larger with fewer."""
        return classes * (1 + 1 / self.cells) / (self.prototypes + self.parts / self.cells)


def unique_prototypes(prototypes: Tensor, directions: bool, cells: int) -> UniquePrototypes:
    """Count what differs among prototypes [P,D,h,w].

    Args:
        prototypes: As they are compared with patches.
        directions: Whether only their direction counts, as in a cosine.
        cells: Of the latent map.
    """
    whole = prototypes.flatten(1)
    parts = prototypes.permute(0, 2, 3, 1).flatten(0, 2)
    if directions:
        whole, parts = F.normalize(whole, dim=1), F.normalize(parts, dim=1)
    return UniquePrototypes(_different(whole), _different(parts), cells)


def _different(rows: Tensor) -> int:
    return len(torch.unique(rows.detach().cpu().round(decimals=DECIMALS), dim=0))
