"""Completeness of FunnyBirds: does the explanation name all parts that count, and none that do not? (Hesse et al. 2023)

Com = ((controlled synthetic data check + preservation check + deletion check) / 3 + distractibility) / 2, at the one
threshold of 80 at which it is largest.
"""

from __future__ import annotations

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.part_scores import completeness_score


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Completeness of explanations by the first of `part_rules`, the others in the details."""
    return completeness_score(observed)


METRIC = Metric(
    title="FunnyBirds: completeness",
    help="Whether the parts that the explanation names are enough for the answer, whether it changes without them, and "
    "whether nothing else is named. High is good; naming all parts or none gets about half.",
    higher_is_better=True,
    passes=frozenset({"scores", "without", "parts"}),
    needs=frozenset({"interventions"}),
    compute=compute,
)
