"""QuanProto PRC: the change of its rank among all prototypes, under noise outside its box.

Output completeness of QuanProto, the mean over the five strongest prototypes of each image; its name means other things
elsewhere.  Masks and boxes are those of each map alone, as the published program has them for single images.
"""

from __future__ import annotations

import math

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.box_noise_scores import box_noise_score


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """The mean over images."""
    return box_noise_score(observed, "prc")


METRIC = Metric(
    title="QuanProto: rank change (PRC)",
    help="Ranks by which a prototype rises or falls among all under weak noise "
    "outside its box. Low is good: what counts lies in the box.",
    unit="ranks",
    higher_is_better=False,
    high=math.inf,
    passes=frozenset({"box_noise"}),
    needs=frozenset({"places"}),
    compute=compute,
)
