"""Distractibility of FunnyBirds: are things left unnamed that do not count? (Hesse et al. 2023)"""

from __future__ import annotations

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.part_scores import check_score


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """The mean over images, at the threshold at which the explanations are most complete."""
    return check_score(observed, lambda curves: 1 - curves.distracted, "images of which everything counts")


METRIC = Metric(
    title="FunnyBirds: distractibility",
    help="Share of the parts and background objects without which the score of the class hardly falls that the "
    "explanation does not name. High is good; naming everything gets 0.",
    higher_is_better=True,
    passes=frozenset({"scores", "without", "parts"}),
    needs=frozenset({"interventions"}),
    compute=compute,
)
