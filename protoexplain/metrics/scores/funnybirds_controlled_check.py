"""Controlled synthetic data check of FunnyBirds: are parts named that suffice for the class? (Hesse et al. 2023)"""

from __future__ import annotations

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.part_scores import check_score


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """The mean over images, at the threshold at which the explanations are most complete."""
    return check_score(observed, lambda curves: curves.controlled, "images that are classified wrongly")


METRIC = Metric(
    title="FunnyBirds: controlled synthetic data check",
    help="Largest share of a smallest set of parts that tells the class from all others which the explanation names. "
    "High is good; naming all parts gets 1.",
    higher_is_better=True,
    passes=frozenset({"scores", "without", "parts"}),
    needs=frozenset({"interventions"}),
    compute=compute,
)
