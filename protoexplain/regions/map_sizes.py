"""Activation maps of several sizes in stacks of one size: what is worked out for many maps at once takes a stack."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor


def by_size(maps: Sequence[Tensor]) -> list[tuple[list[int], Tensor]]:
    """Stacks [n,H,W] of the maps [H,W] of each size, with the places of their maps in the given order."""
    places: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, each in enumerate(maps):
        places[tuple(each.shape)].append(place)
    return [(some, torch.stack([maps[place] for place in some])) for some in places.values()]
