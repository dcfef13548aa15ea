"""Energy relevance (CaBRNet): the share of the heat of the prototype that fires most that lies on the object.

CaBRNet defines the value of one map alone; the score is the mean over the test images.
"""

from __future__ import annotations

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.object_shares import relevance_score


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """The mean over images whose object is known."""
    return relevance_score(observed, "energy")


METRIC = Metric(
    title="Energy relevance",
    help="Share of the heat of the most similar prototype's map that lies on the object. High is good; heat spread "
    "evenly gets the share of the object.",
    higher_is_better=True,
    passes=frozenset({"relevance"}),
    needs=frozenset({"regions", "places"}),
    compute=compute,
)
