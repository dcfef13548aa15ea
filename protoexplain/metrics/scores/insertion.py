"""Insertion: area under the score of the predicted class while pixels come in the order of the heat map (RISE)."""

from __future__ import annotations

from dataclasses import replace

from protoexplain.metrics.base import MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.scores import deletion


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Mean over images of the area under the curve."""
    return deletion.area_score(observed, "insertion")


METRIC = replace(
    deletion.METRIC,
    title="Insertion area",
    help="Mean probability of the predicted class while the pixels come back that the heat map ranks first. High is "
    "good: the map names pixels that suffice; a random order shows what any order would do.",
    higher_is_better=True,
    passes=frozenset({"insertion"}),
    compute=compute,
)
