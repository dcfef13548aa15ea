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


def balanced_order(labels: Sequence[int], seed: int, epoch: int) -> list[int]:
    """As many indices as there are labels, in which every class comes equally often, up to one.

    Images of small classes repeat, each as often as the others of its class up to one; of large classes some are left
    to other epochs.

    Args:
        labels: Of the images.
        seed: With the epoch decides which images, and their order.
        epoch: Its number.
    """
    random = np.random.default_rng([_ORDER, seed, epoch])
    classes = random.permutation(np.unique(labels))
    chosen = []
    for place, label in enumerate(classes):
        own = np.flatnonzero(np.asarray(labels) == label)
        wanted = len(labels) * (place + 1) // len(classes) - len(labels) * place // len(classes)
        rounds = [random.permutation(own) for _ in range(-(-wanted // len(own)))]
        chosen.append(np.concatenate([*rounds, own[:0]])[:wanted])
    order: list[int] = random.permutation(np.concatenate(chosen)).tolist()
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
