"""QuanProto VAC: the change of the sorted values of the hottest 5 % of its upsampled map, under noise outside its box.

Output completeness of QuanProto, the mean over the five strongest prototypes of each image; its name means other things
elsewhere.  Masks and boxes are those of each map alone, as the published program has them for single images.
"""

from __future__ import annotations

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.box_noise_scores import box_noise_score


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """The mean over images."""
    return box_noise_score(observed, "vac", 100)


METRIC = Metric(
    title="QuanProto: visual activation change (VAC)",
    help="Change of the values of the hottest 5 % of a prototype's upsampled map, wherever they are, under weak noise "
    "outside its box. Low is good: what counts lies in the box.",
    unit="%",
    higher_is_better=False,
    high=100,
    passes=frozenset({"box_noise"}),
    needs=frozenset({"places"}),
    compute=compute,
)
