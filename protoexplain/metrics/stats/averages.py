"""Scores that are means over prototypes or over images, with their intervals and what was left out."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from protoexplain.metrics.base import Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.bootstrap import Numbers, Statistic, grouped, interval, ratio


def over_prototypes(observed: Observations, values: Tensor, excluded: Mapping[str, int] | None = None) -> Score:
    """The mean over prototypes, each weighing the same.

    The interval draws classes anew, each with its prototypes, since they share their images; shared prototypes are
    drawn one by one.

    Args:
        observed: Of the model.
        values: [P]; NaN for prototypes that cannot be measured.
        excluded: Why and how many there are; by default those without images.
    """
    ends = interval_of(observed, grouped(values.double().numpy(), observed.description.clusters().numpy()))
    return Score(
        mean(values),
        *ends,
        n_used=counted(values),
        over="prototypes",
        per_prototype=listed(values),
        excluded=_positive(observed.unmeasured() if excluded is None else excluded),
    )


def over_images(observed: Observations, values: Tensor, excluded: Mapping[str, int] | None = None) -> Score:
    """The mean over images, which are drawn anew for the interval.

    Args:
        observed: Of the model.
        values: [N]; NaN for images that cannot be measured.
        excluded: Why and how many there are.
    """
    ends = interval_of(observed, grouped(values.double().numpy(), np.arange(len(values))))
    return Score(
        mean(values),
        *ends,
        n_used=counted(values),
        over="images",
        per_image=listed(values),
        excluded=_positive(excluded or {}),
    )


def _positive(counts: Mapping[str, int]) -> dict[str, int]:
    return {reason: count for reason, count in counts.items() if count}


def interval_of(
    observed: Observations, rows: Numbers, statistic: Statistic = ratio
) -> tuple[float | None, float | None]:
    """The 95 % interval of a score of totals of rows, such as (sum, count); two None where there is none."""
    return interval(rows, statistic, observed.settings.resamples, observed.settings.seed) or (None, None)


def mean(values: Tensor) -> float:
    """Over the values that are not NaN, in any order the same; NaN without any."""
    known = values[~values.isnan()].tolist()
    return math.fsum(known) / len(known) if known else math.nan


def counted(values: Tensor) -> int:
    """How many are not NaN."""
    return int((~values.isnan()).sum())


def listed(values: Tensor) -> tuple[float | None, ...]:
    """As plain numbers, None for NaN."""
    return tuple(None if math.isnan(value) else value for value in values.double().tolist())
