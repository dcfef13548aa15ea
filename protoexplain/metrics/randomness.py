"""Random numbers of an image, whatever batch or process it is in: from the seed, the purpose and the image's id."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def seed_of(seed: int, purpose: str, image: str) -> int:
    """63 bits."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{image}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def random_points(seed: int, purpose: str, images: Sequence[str], count: int, extent: tuple[int, int]) -> Tensor:
    """Uniform (row, column) pairs int64 [N,count,2] in a grid of (rows, columns)."""
    rows = [np.random.default_rng(seed_of(seed, purpose, image)).integers(extent, size=(count, 2)) for image in images]
    return torch.from_numpy(np.stack(rows)) if rows else torch.zeros(0, count, 2, dtype=torch.long)
