"""Which parts the windows of peaks hit, and the peaks of models that ignore the image.

N images, K prototypes of an image's class, P prototypes, T parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import numpy as np
import torch
from torch import Tensor

from protoexplain.metrics.base import Curve
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.observe.parts import Parts, merged_sides, part_distances, part_distances_on_objects
from protoexplain.metrics.settings import PUBLISHED_SIZE
from protoexplain.metrics.stats.randomness import random_points

CENTRE, RANDOM = "centre peak", "random peak"
_RANDOM_DRAWS = 5
_HALF_WINDOWS = (4, 8, 16, 24, 36, 48, 64, 96)
"""Of a curve, for the published size."""


@dataclass(frozen=True)
class PartTable:
    """What windows can hit.

    Args:
        names: Of the T parts.
        visible: bool [N,T].
        distances: Peaks int [N,K,2] (y, x) -> their distances [N,K,T] from the parts, in pixels.
    """

    names: tuple[str, ...]
    visible: Tensor
    distances: Callable[[Tensor], Tensor]


def parts_of(observed: Observations) -> Parts:
    """The parts, which the runner has made sure of."""
    assert observed.parts is not None
    return observed.parts


def published_parts(observed: Observations) -> PartTable:
    """All parts as annotated, distances in pixels of the input (Huang et al. 2023)."""
    parts = parts_of(observed)
    return PartTable(parts.names, parts.visible, partial(part_distances, parts=parts))


def distinguishable_parts(observed: Observations, whole: Sequence[str]) -> PartTable | None:
    """Both sides of a part as one, the names in `whole` left out, distances in pixels of an input cut to the object.

    A part with two sides shows where one of them does, and is as near as the nearer one.  None if no part is left.
    """
    parts = parts_of(observed)
    merged, which = merged_sides(parts.names)
    names = tuple(name for name in merged if name.lower() not in whole)
    if not names:
        return None
    sides = [np.flatnonzero(which == merged.index(name)).tolist() for name in names]

    def distances(peaks: Tensor) -> Tensor:
        single = part_distances_on_objects(peaks, parts)
        return torch.stack([single[:, :, side].amin(2) for side in sides], 2)

    return PartTable(names, torch.stack([parts.visible[:, side].any(1) for side in sides], 1), distances)


def baseline_peaks(observed: Observations, passes: int = 1) -> dict[str, list[list[Tensor]]]:
    """Peaks [N,K,2] of models that ignore the image: name -> repetitions -> one table for each pass.

    Either every prototype always looks at the middle, or anywhere at random.
    """
    size, count = observed.description.size, observed.peaks.shape[1]
    centre = torch.full_like(observed.peaks, size // 2)
    drawn = random_points(observed.settings.seed, "peaks", observed.ids, _RANDOM_DRAWS * passes * count, (size, size))
    tables = drawn.view(-1, _RANDOM_DRAWS, passes, count, 2).unbind(1)
    return {CENTRE: [[centre] * passes], RANDOM: [list(table.unbind(1)) for table in tables]}


def averaged(tables: Mapping[str, Sequence[Sequence[Tensor]]], score: Callable[..., float]) -> dict[str, float]:
    """A score of the tables of each repetition, averaged over the repetitions."""
    return {name: sum(score(*tables) for tables in draws) / len(draws) for name, draws in tables.items()}


def curve(
    parameter: str,
    values: Sequence[float],
    chosen: float,
    score: Callable[..., float],
    own: Sequence[Tensor],
    baselines: Mapping[str, Sequence[Sequence[Tensor]]],
) -> Curve:
    """A score(value of the parameter, *tables) over a parameter, with that of models that ignore the image.

    Args:
        parameter: Its name.
        values: To be tried; `chosen` is added.
        chosen: The value of the score itself.
        score: Of one value and the tables of one model.
        own: Tables of the model.
        baselines: Name -> tables of each repetition, as `averaged` takes them.
    """
    x = sorted({*values, chosen})
    lines = [averaged(baselines, lambda *tables, value=value: score(value, *tables)) for value in x]
    return Curve(
        parameter,
        tuple(x),
        tuple(score(value, *own) for value in x),
        chosen,
        {name: tuple(line[name] for line in lines) for name in baselines},
    )


def half_windows(observed: Observations, chosen: int | None = None) -> list[int]:
    """Half windows of a curve, in pixels, ascending, with that of the score itself: by default the shared one."""
    usual = (round(window * observed.description.size / PUBLISHED_SIZE) for window in _HALF_WINDOWS)
    return sorted({*usual, observed.half_window if chosen is None else chosen})


def visible_counts(observed: Observations, table: PartTable | None = None) -> Tensor:
    """int64 [P,T]: images of each prototype that show each part, by default each of the published ones."""
    visible = (table or published_parts(observed)).visible
    return observed.by_prototype(visible[:, None].expand(-1, observed.peaks.shape[1], -1).long())


def hit_counts(observed: Observations, peaks: Tensor, windows: Sequence[int], table: PartTable | None = None) -> Tensor:
    """int64 [P,T,W]: images in which each prototype hits each part, by half window; all windows in one count.

    Args:
        observed: For the prototypes of each image.
        peaks: int [N,K,2] (y, x).
        windows: W half windows, ascending.
        table: The parts; by default the published ones.
    """
    nearest = _nearest_window(table or published_parts(observed), peaks, windows)
    prototypes, parts = observed.description.num_prototypes, nearest.shape[2]
    owner = observed.prototypes % (prototypes + 1)
    place = (owner[:, :, None] * parts + torch.arange(parts)) * (len(windows) + 1) + nearest
    counts = torch.bincount(place.flatten(), minlength=(prototypes + 1) * parts * (len(windows) + 1))
    return counts.view(prototypes + 1, parts, -1)[:-1, :, :-1].cumsum(2)


def hit_bits(observed: Observations, peaks: Tensor, windows: Sequence[int]) -> Tensor:
    """int16 [N,K,T]: bit i says whether the window i around the peak holds the part; arguments as in `hit_counts`."""
    nearest = _nearest_window(published_parts(observed), peaks, windows)
    wider = [sum(1 << i for i in range(first, len(windows))) for first in range(len(windows) + 1)]
    return torch.tensor(wider, dtype=torch.int16)[nearest]


def _nearest_window(table: PartTable, peaks: Tensor, windows: Sequence[int]) -> Tensor:
    """int64 [N,K,T]: index of the smallest window that holds the part, W where none does."""
    return torch.bucketize(table.distances(peaks), torch.tensor(windows))


def reaches(hit: Tensor, visible: Tensor, threshold: float) -> Tensor:
    """bool [P]: whether any part [P,T] is hit in that share of the images that show it; in whole numbers, so exact."""
    share = Fraction(repr(threshold))
    return (share.denominator * hit >= share.numerator * visible.clamp_min(1)).any(1)


def nan_without_images(observed: Observations, values: Tensor) -> Tensor:
    """Values [P] in float64, with NaN for prototypes that no image was there for."""
    return values.double().masked_fill(observed.images_of == 0, torch.nan)
