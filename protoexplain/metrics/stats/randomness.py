"""Random numbers of an image, whatever batch or process it is in: from the seed, the purpose and the image's id."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_STEP, _FIRST, _SECOND = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def seed_of(seed: int, purpose: str, image: str) -> int:
    """63 bits."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{image}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def random_points(seed: int, purpose: str, images: Sequence[str], count: int, extent: tuple[int, int]) -> Tensor:
    """Uniform (row, column) pairs int64 [N,count,2] in a grid of (rows, columns), less than 2^21 of each.

    A SplitMix64 sequence (Steele et al. 2014) for each image, all at once.
    """
    starts = np.array([seed_of(seed, purpose, image) for image in images], dtype=np.uint64)
    bits = starts[:, None] + _STEP * np.arange(1, 2 * count + 1, dtype=np.uint64)
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    bits ^= bits >> np.uint64(31)
    places = torch.from_numpy((bits >> np.uint64(22)).astype(np.int64)).view(-1, count, 2)
    return places * torch.tensor(extent) >> 42
