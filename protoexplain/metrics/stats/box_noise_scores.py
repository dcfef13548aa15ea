"""Scores of noise outside the boxes of the strongest prototypes from observations (QuanProto's output completeness).

Their names mean other things elsewhere.  Masks and boxes are those of each map alone, as the published program has them
for single images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import mean, over_images

_WITHOUT = "images of whose strongest prototypes none has a box that leaves anything out"


def box_noise_metric(
    measure: str,
    title: str,
    changes: str,
    unit: str = "%",
    high: float = 100,
    baselines: Callable[[Observations], Mapping[str, float]] = lambda observed: {},
) -> Metric:
    """The mean over images of the mean over their five strongest prototypes.

    Args:
        measure: Its name among the observations.
        title: For people.
        changes: What changes under the noise, the beginning of a sentence.
        unit: Percent, or what the observations count.
        high: Greatest possible value.
        baselines: The scores of maps that have nothing to do with each other.
    """

    def compute(observed: Observations, settings: MetricSettings) -> Score:
        values = (100 if unit == "%" else 1) * mean_over_prototypes(observed, measure)
        score = over_images(observed, values, {_WITHOUT: int(values.isnan().sum())})
        noise = {"box": "bounds of the hottest 5 %", "draws": 1}
        return replace(score, baselines=baselines(observed), settings=noise)

    return Metric(
        title=f"QuanProto: {title}",
        help=f"{changes} under weak noise outside its box. Low is good: what counts lies in the box.",
        unit=unit,
        higher_is_better=False,
        high=high,
        passes=frozenset({"box_noise"}),
        needs=frozenset({"places"}),
        compute=compute,
    )


def random_distance(observed: Observations) -> float:
    """The mean distance of two random cells of the maps, down plus across."""
    return mean(mean_over_prototypes(observed, "random"))


def mean_over_prototypes(observed: Observations, measure: str) -> Tensor:
    """float64 [N], NaN where no prototype could be measured."""
    table = observed.columns["box_noise"][measure].double()
    return table.masked_fill(table < 0, torch.nan).nanmean(1)
