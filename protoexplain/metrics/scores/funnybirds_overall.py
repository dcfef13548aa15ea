"""Overall score of FunnyBirds: the mean of completeness, correctness and contrastivity (Hesse et al. 2023)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.bootstrap import Numbers, ratio
from protoexplain.metrics.stats.part_scores import (
    completeness,
    contrastivity_values,
    correctness_values,
    curves_of,
    pooled,
    sums_and_counts,
)


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Of explanations by the first of `part_rules`; the others, and the accuracy, in the details.

    What no image counts for is left out of the mean, as of explanations that hold all parts equally important.
    """

    def rows(rule: str) -> Numbers:
        singly = (correctness_values(observed, rule), contrastivity_values(observed, rule))
        return np.concatenate([*map(sums_and_counts, singly), curves_of(observed, rule).rows()], 1)

    score = pooled(observed, rows, _overall)
    return replace(score, details={**score.details, "accuracy": float(observed.correct.double().mean())})


def _overall(sums: Numbers) -> Numbers:
    return np.nanmean(np.stack([completeness(sums[:, 4:]), ratio(sums[:, :2]), ratio(sums[:, 2:4])]), axis=0)


METRIC = Metric(
    title="FunnyBirds: overall",
    help="Mean of completeness, correctness and contrastivity: how good explanations are where the truth is known by "
    "intervention. High is good; accuracy and background independence belong beside it.",
    higher_is_better=True,
    passes=frozenset({"scores", "without", "parts"}),
    needs=frozenset({"interventions"}),
    compute=compute,
)
