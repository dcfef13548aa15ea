"""Preservation check of FunnyBirds: do the named parts alone keep the answer? (Hesse et al. 2023)"""

from __future__ import annotations

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.part_scores import check_score


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """The mean over images, at the threshold at which the explanations are most complete."""
    return check_score(observed, lambda curves: curves.preserved, "images without a picture of these parts alone")


METRIC = Metric(
    title="FunnyBirds: preservation check",
    help="How often the answer stays when only the parts are left that the explanation names. High is good; naming all "
    "parts gets 1.",
    higher_is_better=True,
    passes=frozenset({"scores", "without", "parts"}),
    needs=frozenset({"interventions"}),
    compute=compute,
)
