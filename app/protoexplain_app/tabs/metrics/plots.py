"""Curves and histograms as shapes that a page draws itself, so that they follow its colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from protoexplain.metrics.base import Curve, Score

BARS = 24
LOGARITHMIC = "epsilon"
"""The parameter whose values lie powers apart."""


@dataclass(frozen=True)
class Line:
    """Args: name: of what is drawn, empty for the score itself; points: x,y in percent, y down, for an SVG."""

    name: str
    points: str


@dataclass(frozen=True)
class Plot:
    """A score over one of its parameters.

    Args:
        parameter: Its name.
        left: Value of the parameter at the left end.
        right: At the right end.
        low: Value of the score at the lower end.
        high: At the upper end.
        lines: The score first, then baselines.
        chosen: Where the score was measured, in percent from the left; None where it is an average.
    """

    parameter: str
    left: float
    right: float
    low: float
    high: float
    lines: tuple[Line, ...]
    chosen: float | None


@dataclass(frozen=True)
class Spread:
    """Values of single prototypes or images.

    Args:
        over: Of which.
        count: How many.
        low: Least value.
        high: Greatest value.
        heights: A histogram, 0 to 1.
    """

    over: str
    count: int
    low: float
    high: float
    heights: tuple[float, ...]


def plot_of(curve: Curve) -> Plot:
    """A curve to be drawn."""
    x = [_axis(value, curve.parameter) for value in curve.x]
    known = [value for line in (curve.y, *curve.baselines.values()) for value in line if math.isfinite(value)]
    low, high = min(0.0, min(known, default=0.0)), max(known, default=1.0)
    high = high if high > low else low + 1
    lines = [("", curve.y), *curve.baselines.items()]
    left, right = (min(x), max(x)) if x else (0.0, 1.0)
    chosen = None if curve.chosen is None else _share(_axis(curve.chosen, curve.parameter), left, right)
    return Plot(
        parameter=curve.parameter,
        left=min(curve.x, default=0.0),
        right=max(curve.x, default=1.0),
        low=low,
        high=high,
        lines=tuple(Line(name, _points(x, values, left, right, low, high)) for name, values in lines),
        chosen=chosen,
    )


def spread_of(score: Score) -> Spread | None:
    """The histogram of a score's single values; None where it has none."""
    singles = score.per_prototype if score.per_prototype is not None else score.per_image
    values = [value for value in singles or () if value is not None and math.isfinite(value)]
    if not values:
        return None
    low, high = min(values), max(values)
    counts = [0] * BARS
    for value in values:
        counts[min(int((value - low) / (high - low) * BARS), BARS - 1) if high > low else 0] += 1
    return Spread(score.over, len(values), low, high, tuple(count / max(counts) for count in counts))


def _axis(value: float, parameter: str) -> float:
    return math.log10(value) if parameter == LOGARITHMIC and value > 0 else value


def _share(value: float, low: float, high: float) -> float:
    return 100 * (value - low) / (high - low) if high > low else 50.0


def _points(x: Sequence[float], y: Sequence[float], left: float, right: float, low: float, high: float) -> str:
    pairs = (
        (_share(a, left, right), 100 - _share(b, low, high)) for a, b in zip(x, y, strict=True) if math.isfinite(b)
    )
    return " ".join(f"{a:.2f},{b:.2f}" for a, b in pairs)
