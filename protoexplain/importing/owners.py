"""Which class owns each prototype of a ProtoPNet, and its number before pruning."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_NEARLY_ALL = 0.9


@dataclass(frozen=True)
class Places:
    """Prototypes in the order of their classes.

    Args:
        order: int64 [P]: which prototype of the file comes at each place.
        per_class: Of a fresh model, the most that a class has here.
        kept: int [P]: numbers in a fresh model.
    """

    order: Tensor
    per_class: int
    kept: tuple[int, ...]


def owners_of(identity: Tensor | None, weights: Tensor) -> Tensor:
    """int64 [P]: the class of each prototype.

    Args:
        identity: [P,C], one for the class, where a file holds it.
        weights: [C,P], of the last layer.  Where there is no identity, classes own equally many prototypes in turn if
            nearly all of the largest weights say so; else the class with the largest weight owns a prototype, as in a
            model that was pruned.
    """
    classes, prototypes = weights.shape
    if identity is not None and identity.shape == (prototypes, classes):
        return identity.argmax(1)
    likely = weights.argmax(0)
    if prototypes % classes == 0:
        in_turn = torch.arange(classes).repeat_interleave(prototypes // classes)
        if int((in_turn == likely).sum()) >= _NEARLY_ALL * prototypes:
            return in_turn
    return likely


def places_of(owners: Tensor, classes: int) -> Places:
    """Where prototypes lie whose owners are given, int64 [P]."""
    order = owners.argsort(stable=True)
    counts = owners.bincount(minlength=classes)
    per_class = int(counts.max())
    kept = [label * per_class + i for label, count in enumerate(counts.tolist()) for i in range(count)]
    return Places(order, per_class, tuple(kept))
