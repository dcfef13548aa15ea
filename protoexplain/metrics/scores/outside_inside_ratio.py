"""Outside-inside relevance ratio (Lapuschkin et al. 2016, as in Wang et al. 2023)."""

from __future__ import annotations

import math

from protoexplain.metrics.base import Metric, NoSettings, Score
from protoexplain.metrics.observe.localisation import Region
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.object_scores import localisation_score


def compute(observed: Observations, settings: NoSettings) -> Score:
    """Mean over images of mean heat off the object / mean heat on it."""
    return localisation_score(observed, observed.columns["localisation"]["ratio"], {Region.USABLE})


METRIC = Metric(
    title="Outside-inside ratio",
    help="Mean heat off the object divided by mean heat on it. Low is good; 1 means that the map does not tell the "
    "object from the background.",
    unit="",
    higher_is_better=False,
    low=0,
    high=math.inf,
    passes=frozenset({"localisation"}),
    needs=frozenset({"places", "regions"}),
    compute=compute,
)
