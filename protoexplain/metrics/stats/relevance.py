"""Relevance of heat to the object (CaBRNet): the share of the heat, and of its hottest pixels, that lies on it."""

from __future__ import annotations

import torch
from torch import Tensor

HOTTEST = 0.1
"""Share of the pixels that count as hot (published)."""


def energy_relevance(heat: Tensor, region: Tensor) -> Tensor:
    """float64 [n]: the share of heat [n,H,W] on a region bool [H,W] or [n,H,W]; 0 without any heat."""
    heat = heat.double()
    total = heat.sum((1, 2))
    return torch.where(total == 0, 0.0, (heat * region).sum((1, 2)) / total)


def mask_relevance(heat: Tensor, region: Tensor, share: float = HOTTEST) -> Tensor:
    """float64 [n]: the share of the hottest pixels of heat [n,H,W] that lies on a region.

    Hot is what lies strictly above the value that a share of the pixels reaches; where nothing does, as in constant
    heat, the relevance is 0.

    Args:
        heat: Of any range.
        region: bool [H,W] or [n,H,W].
        share: Of the pixels.
    """
    flat = heat.flatten(1)
    level = flat.sort(1).values[:, int(flat.shape[1] * (1 - share))]
    hot = heat > level[:, None, None]
    count = hot.sum((1, 2)).double()
    return (hot & region).sum((1, 2)) / count.clamp_min(1)
