"""Which boxes of two lists lie at the same place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from protoexplain.data.geometry import Box

OVERLAP = 0.25
"""Intersection over union from which two boxes count as the same place."""


def pair_boxes(
    left: Sequence[Sequence[float]], right: Sequence[Sequence[float]]
) -> list[tuple[int | None, int | None]]:
    """Places of boxes that overlap, each at most once and as much as possible in sum; then those left alone."""
    from scipy.optimize import linear_sum_assignment

    overlaps = np.array([[overlap(a, b) for b in right] for a in left]).reshape(len(left), len(right))
    rows, columns = linear_sum_assignment(np.where(overlaps >= OVERLAP, overlaps, 0), maximize=True)
    pairs = [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if overlaps[i, j] >= OVERLAP]
    lone_left = set(range(len(left))) - {i for i, _ in pairs}
    lone_right = set(range(len(right))) - {j for _, j in pairs}
    return [*pairs, *((i, None) for i in sorted(lone_left)), *((None, j) for j in sorted(lone_right))]


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    a, b = Box(*one), Box(*other)
    common = Box(max(a.x0, b.x0), max(a.y0, b.y0), min(a.x1, b.x1), min(a.y1, b.y1)).area
    together = a.area + b.area - common
    return common / together if together else 0.0
