"""Grow a soft decision tree from the root on: each node asks for the candidate that tells most of the class of the
images that come to it.

N images, K candidates, C classes; 2^depth - 1 nodes, numbered by level as in `models.trees`, and 2^depth leaves.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from protoexplain.models.trees import arrivals_below


@dataclass(frozen=True)
class GrownTree:
    """A complete tree.

    Args:
        chosen: int64 [nodes], the candidate that each node asks for, from 0 to K - 1.
        counts: [leaves,C], how many images of each class come to each leaf.
        likelihood: Mean logarithm of the probability that the tree gives to the class of an image.
    """

    chosen: Tensor
    counts: Tensor
    likelihood: float


def grow(found: Tensor, labels: Tensor, classes: int, depth: int) -> GrownTree:
    """Choose at each node the candidate with the largest information gain, none twice on one way.

    Args:
        found: [N,K], the probability that each candidate is found in each image, which then goes right.
        labels: int64 [N].
        classes: Number C.
        depth: Decisions on each way.

    Example:
        >>> found = torch.tensor([[0.9, 0.9], [0.9, 0.1], [0.1, 0.9], [0.1, 0.1]])
        >>> grow(found, torch.tensor([0, 0, 1, 1]), classes=2, depth=1).chosen
        tensor([0])
    """
    found = found.float()
    arrived = torch.ones(len(found), 1, device=found.device)
    used = torch.zeros(1, found.shape[1], dtype=torch.bool, device=found.device)
    one_hot = F.one_hot(labels, classes).float()
    levels = []
    for _ in range(depth):
        nodes = zip(arrived.T, used, strict=True)
        best = torch.stack([_best(found, weights, one_hot, already) for weights, already in nodes])
        arrived = arrivals_below(arrived, found[:, best])
        used = used.scatter(1, best[:, None], True).repeat_interleave(2, 0)
        levels.append(best)
    counts = arrived.T @ one_hot
    given = (arrived @ counts.softmax(1)).gather(1, labels[:, None])
    return GrownTree(torch.cat(levels), counts, float(given.clamp_min(torch.finfo(given.dtype).tiny).log().mean()))


def _best(found: Tensor, weights: Tensor, one_hot: Tensor, used: Tensor) -> Tensor:
    """The candidate with the largest information gain over images that count by their weights [N]; one that was used
    only if all were.  Two sides gain at most N ln 2, which is less than the N that used ones are put back by.
    """
    right = (found * weights[:, None]).T @ one_hot
    left = (weights @ one_hot) - right
    return (_entropy(right) + _entropy(left) + used * len(found)).argmin()


def _entropy(mass: Tensor) -> Tensor:
    """Entropy [K] of the classes times the number of images, from numbers of images [K,C]."""
    mass = mass.clamp_min(0)
    return torch.special.entr(mass).sum(1) - torch.special.entr(mass.sum(1))
