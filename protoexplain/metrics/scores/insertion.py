"""Insertion: area under the score of the predicted class while pixels come in the order of the heat map (RISE)."""

from __future__ import annotations

from protoexplain.metrics.base import Metric, NoSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.masked_areas import masked_score


def compute(seen: Observations, settings: NoSettings) -> Score:
    """Mean over images of the area under the curve."""
    return masked_score(seen, "insertion")


METRIC = Metric(
    title="Insertion area",
    help="Mean probability of the predicted class while the pixels come back that the heat map ranks first. High is "
    "good: the map names pixels that suffice; a random order shows what any order would do.",
    unit="",
    higher_is_better=True,
    low=0,
    high=1,
    passes=frozenset({"insertion"}),
    needs=frozenset({"places"}),
    compute=compute,
)
