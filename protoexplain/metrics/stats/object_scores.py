"""Scores of heat maps on objects: means over the images whose object is known."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import torch
from torch import Tensor

from protoexplain.metrics.base import Score
from protoexplain.metrics.observe.localisation import BASELINES, OWN, UNDEFINED, Region
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import mean, over_images

NO_OBJECT = "prototypes without an image whose object is known"
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
        over_images(observed, own, {reason: count for reason, count in excluded.items() if count}),
        baselines={name: mean(usable(observed, values[:, kind], regions)) for kind, name in BASELINES.items()},
    )
