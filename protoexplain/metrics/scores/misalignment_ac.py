"""Misalignment AC: the accuracy lost when what lies outside the box of the strongest prototype is attacked.

Sacha et al. 2024.
"""

from __future__ import annotations

from torch import Tensor

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Columns, Observations
from protoexplain.metrics.stats.misalignment_scores import attack_score


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """The difference of the accuracies, in points."""

    def values(columns: Columns) -> Tensor:
        after = columns["logits"].argmax(1) == observed.labels
        return 100 * (observed.correct.double() - after.double())

    return attack_score(observed, values)


METRIC = Metric(
    title="Misalignment: accuracy change (AC)",
    help="Points of accuracy lost when pixels outside the box of the strongest prototype are attacked. Low is good.",
    unit="%",
    higher_is_better=False,
    low=-100,
    high=100,
    passes=frozenset({"scores", "attack"}),
    needs=frozenset({"places"}),
    compute=compute,
)
