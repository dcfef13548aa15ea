"""Content heat map: how hot the map of the true class is on the object (Wang et al. 2023)."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import torch
from torch import Tensor

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.localisation import BASELINES, OWN, UNDEFINED, Region
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import mean, over_images

_REASONS = {
    Region.UNKNOWN: "images without mask or box",
    Region.EMPTY: "images whose object is empty",
    Region.FULL: "images that the object fills",
}
_NO_HEAT = "images with a map that is constant, or cold on the object"


def usable(observed: Observations, values: Tensor, regions: Set[Region]) -> Tensor:
    """Values [N] in float64, NaN where the object is not of the given kinds or the value is undefined."""
    kinds = torch.tensor([int(region) for region in regions])
    good = torch.isin(observed.columns["localisation"]["region"].long(), kinds) & (values != UNDEFINED)
    return values.double().masked_fill(~good, torch.nan)


def localisation_score(observed: Observations, values: Tensor, regions: Set[Region]) -> Score:
    """Mean over images of a number of the model's map, beside those of maps that ignore the image.

    Args:
        observed: Of the model.
        values: [N,3], by kind of map.
        regions: Objects for which the number means something.
    """
    region = observed.columns["localisation"]["region"]
    own = usable(observed, values[:, OWN], regions)
    excluded = {reason: int((region == kind).sum()) for kind, reason in _REASONS.items() if kind not in regions}
    excluded[_NO_HEAT] = int(own.isnan().sum()) - sum(excluded.values())
    return replace(
        over_images(observed, own, excluded),
        baselines={name: mean(usable(observed, values[:, kind], regions)) for kind, name in BASELINES.items()},
    )


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Mean over images of the mean heat on the object."""
    return localisation_score(observed, observed.columns["localisation"]["content"], {Region.USABLE, Region.FULL})


METRIC = Metric(
    title="Content heat map",
    help="Mean heat on the object, of a map stretched to 0..1. High is good, but a map that is hot everywhere is "
    "perfect: read it together with the outside-inside ratio.",
    higher_is_better=True,
    passes=frozenset({"localisation"}),
    needs=frozenset({"places", "regions"}),
    compute=compute,
)
