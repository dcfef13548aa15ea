"""Deletion check of FunnyBirds: does the answer change without the named parts? (Hesse et al. 2023)"""

from __future__ import annotations

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.part_scores import check_score


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """The mean over images, at the threshold at which the explanations are most complete."""
    return check_score(observed, lambda curves: curves.deleted, "images without a picture of the other parts alone")


METRIC = Metric(
    title="FunnyBirds: deletion check",
    help="How often the answer changes when the parts are gone that the explanation names. High is good; naming no "
    "part gets 0.",
    higher_is_better=True,
    passes=frozenset({"scores", "without", "parts"}),
    needs=frozenset({"interventions"}),
    compute=compute,
)
