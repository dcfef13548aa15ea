"""In which order images are seen, and which of them each of several processes takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_ORDER = 1
"""Stream of random numbers, the first word of every generator's seed; that of pictures is another."""


def epoch_order(count: int, seed: int, epoch: int) -> list[int]:
    """The indices 0..count-1 in an order that depends on seed and epoch only."""
    order: list[int] = np.random.default_rng([_ORDER, seed, epoch]).permutation(count).tolist()
    return order


def shard(order: Sequence[int], rank: int, world: int, even: bool = True) -> list[int]:
    """The entries of one of `world` processes.

    Args:
        order: Indices of the whole epoch.
        rank: This process, from 0.
        world: Number of processes.
        even: Repeat first entries so that all processes get the same number, as training needs.
    """
    padding = -len(order) % world if even and order else 0
    padded = [*order, *(order[i % len(order)] for i in range(padding))]
    return padded[rank::world]


def block(count: int, rank: int, world: int) -> range:
    """The numbers of 0..count-1 that one of `world` processes works on, one after the other."""
    return range(rank * count // world, (rank + 1) * count // world)
