"""Which parts the windows of peaks hit, and the peaks of models that know nothing.

N images, K prototypes of an image's class, P prototypes, T parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import torch
from torch import Tensor

from protoexplain.metrics.base import Curve
from protoexplain.metrics.observations import Observations
from protoexplain.metrics.parts import Parts
from protoexplain.metrics.randomness import random_points
from protoexplain.metrics.settings import PUBLISHED_SIZE

CENTRE, RANDOM = "centre peak", "random peak"
_RANDOM_DRAWS = 5
_HALF_WINDOWS = (4, 8, 16, 24, 36, 48, 64, 96)
"""Of a curve, for the published size."""


def parts_of(seen: Observations) -> Parts:
    """The parts, which the runner has made sure of."""
    assert seen.parts is not None
    return seen.parts


def knowing_nothing(seen: Observations, passes: int = 1) -> dict[str, list[list[Tensor]]]:
    """Peaks [N,K,2] of models that know nothing: name -> repetitions -> one table for each pass.

    Either every prototype always looks at the middle, or anywhere at random.
    """
    size, count = seen.subject.size, seen.peaks.shape[1]
    centre = torch.full_like(seen.peaks, size // 2)
    drawn = [
        [
            random_points(seen.settings.seed, f"peak {draw} {number}", seen.ids, count, (size, size))
            for number in range(passes)
        ]
        for draw in range(_RANDOM_DRAWS)
    ]
    return {CENTRE: [[centre] * passes], RANDOM: drawn}


def averaged(tables: Mapping[str, Sequence[Sequence[Tensor]]], score: Callable[..., float]) -> dict[str, float]:
    """A score of the tables of each repetition, averaged over the repetitions."""
    return {name: sum(score(*tables) for tables in draws) / len(draws) for name, draws in tables.items()}


def curve(
    parameter: str,
    values: Sequence[float],
    chosen: float,
    score: Callable[..., float],
    own: Sequence[Tensor],
    nothing: Mapping[str, Sequence[Sequence[Tensor]]],
) -> Curve:
    """A score(value of the parameter, *tables) over a parameter, with that of models that know nothing.

    Args:
        parameter: Its name.
        values: To be tried; `chosen` is added.
        chosen: The value of the score itself.
        score: Of one value and the tables of one model.
        own: Tables of the model.
        nothing: As from `knowing_nothing`.
    """
    x = sorted({*values, chosen})
    lines = [averaged(nothing, lambda *tables, value=value: score(value, *tables)) for value in x]
    return Curve(
        parameter,
        tuple(x),
        tuple(score(value, *own) for value in x),
        chosen,
        {name: tuple(line[name] for line in lines) for name in nothing},
    )


def half_windows(seen: Observations) -> list[int]:
    """Half windows of a curve, in pixels."""
    return [round(window * seen.subject.size / PUBLISHED_SIZE) for window in _HALF_WINDOWS]


def shown(seen: Observations) -> Tensor:
    """int64 [P,T]: images of each prototype that show each part."""
    return seen.by_prototype(parts_of(seen).visible[:, None].expand(-1, seen.peaks.shape[1], -1).long())


def reaches(hit: Tensor, visible: Tensor, threshold: float) -> Tensor:
    """bool [P]: whether any part [P,T] is hit in that share of the images that show it; in whole numbers, so exact."""
    share = Fraction(repr(threshold))
    return (share.denominator * hit >= share.numerator * visible.clamp_min(1)).any(1)


def measured(seen: Observations, values: Tensor) -> Tensor:
    """Values [P] in float64, with NaN for prototypes that no image was there for."""
    return values.double().masked_fill(seen.images_of == 0, torch.nan)
