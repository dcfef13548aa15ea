"""Correctness of FunnyBirds: is what the explanation holds important what the score needs? (Hesse et al. 2023)

Mean over images of (r + 1) / 2, r the rank correlation over the parts between the fall of the score of the true class
without the part and its importance (single deletion).
"""

from __future__ import annotations

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.part_scores import averaged, correctness_values

_CONSTANT = "images whose parts all count, or are all said to count, the same"


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Of explanations by the first of `part_rules`, the others in the details."""
    return averaged(observed, lambda rule: correctness_values(observed, rule), _CONSTANT)


METRIC = Metric(
    title="FunnyBirds: correctness",
    help="How far the explanation ranks the parts as the class score does that falls when each part is taken away. "
    "High is good; 0.5 is what random numbers get.",
    higher_is_better=True,
    passes=frozenset({"scores", "without", "parts"}),
    needs=frozenset({"interventions"}),
    compute=compute,
)
