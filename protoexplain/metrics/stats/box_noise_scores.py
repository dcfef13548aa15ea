"""Scores of noise outside the boxes of the strongest prototypes from observations (QuanProto)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from protoexplain.metrics.base import Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import mean, over_images

_WITHOUT = "images of whose strongest prototypes none has a box that leaves anything out"


def box_noise_score(
    observed: Observations, measure: str, factor: float = 1, baselines: Mapping[str, float] | None = None
) -> Score:
    """The mean over images of the mean over their strongest prototypes.

    Args:
        observed: Of the model.
        measure: Its name.
        factor: By which values are multiplied, 100 for percent.
        baselines: Of maps that have nothing to do with each other.
    """
    values = factor * mean_over_prototypes(observed, measure)
    score = over_images(observed, values, {_WITHOUT: int(values.isnan().sum())})
    return replace(score, baselines=baselines or {}, settings={"box": "bounds of the hottest 5 %", "draws": 1})


def random_distance(observed: Observations) -> float:
    """The mean distance of two random cells of the maps, down plus across."""
    return mean(mean_over_prototypes(observed, "random"))


def mean_over_prototypes(observed: Observations, measure: str) -> Tensor:
    """float64 [N], NaN where no prototype could be measured."""
    table = observed.columns["box_noise"][measure].double()
    return table.masked_fill(table < 0, torch.nan).nanmean(1)
