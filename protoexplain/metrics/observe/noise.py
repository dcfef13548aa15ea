"""Clipped normal noise of an image, from its own seed; many times faster than a generator of normal numbers.

A number is drawn by its rank: 16 random bits choose one of 65,536 equally likely intervals of the clipped normal
distribution, and the interval's median is the number.  Within two standard deviations these medians lie less than
0.0003 standard deviations apart, and clipping cuts the tails, where they would be sparse.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

RANKS = 1 << 16


@lru_cache(maxsize=32)
def medians(deviation: float, limit: float) -> NDArray[np.float32]:
    """float32 [65536] ascending: the noise of each rank.

    Args:
        deviation: Standard deviation before clipping.
        limit: Noise lies in [-limit, limit].
    """
    normal = torch.special.ndtri((torch.arange(RANKS, dtype=torch.float64) + 0.5) / RANKS)
    return (deviation * normal).clamp(-limit, limit).float().numpy()


def fill_with_noise(out: Tensor, deviation: float, limit: float, seed: int) -> None:
    """Fill a contiguous float32 tensor on the CPU with independent clipped normal numbers.

    Args:
        out: Of any shape.
        deviation: Standard deviation before clipping.
        limit: Noise lies in [-limit, limit].
        seed: The same seed gives the same numbers on every machine.
    """
    raw = np.random.SFC64(seed).random_raw(-(-out.numel() // 4))
    ranks = raw.astype("<u8", copy=False).view("<u2")[: out.numel()]
    medians(deviation, limit).take(ranks, out=out.view(-1).numpy(), mode="wrap")
