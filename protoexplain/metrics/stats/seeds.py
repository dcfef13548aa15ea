"""Results of several trainings of one method, which differ in their seed alone, as one.

Two things vary: a score would be another one on other images, which its interval tells, and after another training,
which the deviation over the trainings tells.  They are never added up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev

from protoexplain.metrics.base import MetricResult, Score

SEEDS = "over_seeds"


def over_seeds(trainings: Sequence[Mapping[str, MetricResult]]) -> dict[str, MetricResult]:
    """The mean over trainings of each metric that was measured for all.

    Args:
        trainings: Metric -> result, of two or more trainings.

    Returns:
        Results whose values, baselines and ends of intervals are means over the trainings; the details say the value
        of each training and the deviation over them.
    """
    first, *others = trainings
    return {
        name: replace(result, score=_joined([training[name].score for training in trainings]))
        for name, result in first.items()
        if all(name in other for other in others)
    }


def _joined(scores: Sequence[Score]) -> Score:
    first, values = scores[0], [score.value for score in scores]
    low, high = (_mean([getattr(score, end) for score in scores]) for end in ("low", "high"))
    return Score(
        fmean(values),
        low,
        high,
        n_used=sum(score.n_used for score in scores),
        over=first.over,
        baselines={
            name: fmean(score.baselines[name] for score in scores)
            for name in first.baselines
            if all(name in score.baselines for score in scores)
        },
        details={SEEDS: {"values": values, "deviation": stdev(values)}},
    )


def _mean(ends: Sequence[float | None]) -> float | None:
    known = [end for end in ends if end is not None]
    return fmean(known) if len(known) == len(ends) else None
