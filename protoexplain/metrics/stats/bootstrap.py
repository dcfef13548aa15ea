"""Bootstrap intervals, vectorised: units are drawn anew with replacement, and only totals are summed up again.

A unit (an image, a prototype, a class with its prototypes) is a row of numbers that may be added, such as (sum,
count); a score is a function of the totals.  Rows are put in order first, so that their order changes nothing.
U units, F numbers each, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Statistic = Callable[[Numbers], Numbers]
LEVEL = 0.95
_CHUNK = 1 << 22


def totals(rows: Numbers, resamples: int, seed: int) -> Numbers:
    """Totals [R,F] of the rows [U,F] over units drawn with replacement."""
    ordered = rows[np.lexsort(rows.T[::-1])]
    units = len(ordered)
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, resamples, step := max(1, _CHUNK // units)):
        count = min(step, resamples - start)
        drawn = rng.integers(units, size=(count, units)) + np.arange(count)[:, None] * units
        times = np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units)
        parts.append(times @ ordered)
    return np.concatenate(parts)


def interval(rows: Numbers, statistic: Statistic, resamples: int, seed: int) -> tuple[float, float] | None:
    """The middle 95 % of a score over resamples.

    Args:
        rows: [U,F] of the units.
        statistic: Totals [R,F] -> scores [R].
        resamples: Number R.
        seed: Of the draws.

    Returns:
        Lower and upper end; None for fewer than two units, or where a score is not finite.
    """
    if len(rows) < 2:
        return None
    scores = statistic(totals(rows, resamples, seed))
    if not np.isfinite(scores).all():
        return None
    low, high = np.quantile(scores, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def ratio(sums: Numbers) -> Numbers:
    """First total over second: the mean of rows (sum, count); NaN without a count."""
    return np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0)


def gap(sums: Numbers) -> Numbers:
    """Difference of two means from totals (sum, count, sum, count)."""
    return ratio(sums[:, :2]) - ratio(sums[:, 2:])


def grouped(values: Numbers, groups: NDArray[np.int64]) -> Numbers:
    """Rows (sum, count) of the groups; values that are NaN do not count."""
    known = np.isfinite(values)
    _, place = np.unique(groups, return_inverse=True)
    rows = np.zeros((int(place.max(initial=-1)) + 1, 2))
    np.add.at(rows, place[known], np.stack([values[known], np.ones(int(known.sum()))], 1))
    return rows[rows[:, 1] > 0]
