"""Content heat map: how hot the map of the true class is on the object (Wang et al. 2023)."""

from __future__ import annotations

from protoexplain.metrics.base import Metric, NoSettings, Score
from protoexplain.metrics.observe.localisation import Region
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.object_scores import localisation_score


def compute(observed: Observations, settings: NoSettings) -> Score:
    """Mean over images of the mean heat on the object."""
    return localisation_score(observed, observed.columns["localisation"]["content"], {Region.USABLE, Region.FULL})


METRIC = Metric(
    title="Content heat map",
    help="Mean heat on the object, of a map stretched to 0..1. High is good, but a map that is hot everywhere is "
    "perfect: read it together with the outside-inside ratio.",
    unit="",
    higher_is_better=True,
    low=0,
    high=1,
    passes=frozenset({"localisation"}),
    needs=frozenset({"places", "regions"}),
    compute=compute,
)
