"""Outside-inside relevance ratio (Lapuschkin et al. 2016, as in Wang et al. 2023)."""

from __future__ import annotations

import math
from dataclasses import replace

from protoexplain.metrics.base import MetricSettings, Score
from protoexplain.metrics.observe.localisation import Region
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.scores import content_heatmap


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Mean over images of mean heat off the object / mean heat on it."""
    return content_heatmap.localisation_score(observed, observed.columns["localisation"]["ratio"], {Region.USABLE})


METRIC = replace(
    content_heatmap.METRIC,
    title="Outside-inside ratio",
    help="Mean heat off the object divided by mean heat on it. Low is good; 1 means that the map does not tell the "
    "object from the background.",
    higher_is_better=False,
    high=math.inf,
    compute=compute,
)
