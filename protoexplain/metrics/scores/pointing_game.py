"""Pointing game: does the peak of a prototype lie on the object? (Zhang et al. 2018, without tolerance.)"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.localisation import BASELINES, OWN, Region
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import mean, over_prototypes

NO_OBJECT = "prototypes without an image whose object is known"


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Mean over prototypes of the share of images in which their peak is on the object."""
    localisation = observed.columns["localisation"]
    known = (localisation["region"] == Region.USABLE)[:, None].expand(-1, observed.peaks.shape[1])
    images = observed.by_prototype(known.long())

    def on_object(kind: int) -> Tensor:
        hit = observed.by_prototype((localisation["on_object"][..., kind] & known).long())
        return (hit / images.double()).masked_fill(images == 0, torch.nan)

    values = on_object(OWN)
    return replace(
        over_prototypes(observed, values, observed.unmeasured(values, NO_OBJECT)),
        baselines={name: mean(on_object(kind)) for kind, name in BASELINES.items()},
    )


METRIC = Metric(
    title="Pointing game",
    help="How often the peak of a prototype lies on the object in images of its class. High is good; low values of "
    "single prototypes point to the background.",
    higher_is_better=True,
    passes=frozenset({"peaks", "localisation"}),
    needs=frozenset({"places", "regions"}),
    compute=compute,
)
