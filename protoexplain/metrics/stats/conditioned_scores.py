"""Consistency and stability over active images from observations, with the baselines of peaks that ignore the image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from protoexplain.metrics.base import MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.observe.parts import part_distances
from protoexplain.metrics.stats.averages import mean, over_prototypes
from protoexplain.metrics.stats.conditioned import Activity, active_images
from protoexplain.metrics.stats.part_hits import CENTRE, RANDOM, parts_of
from protoexplain.metrics.stats.randomness import random_points

_AT_ONCE = 64
"""Prototypes whose hits are worked out together."""


class ConditionedSettings(MetricSettings):
    """In which images a prototype is active."""

    active: Activity = "relative"
    """At least a share of its largest activation, above a value, or the largest ones."""
    relative: float = Field(0.5, ge=0, le=1)
    """The share."""
    absolute: float = 0.1
    """The value; by default that of PIP-Net."""
    topk: int = Field(10, ge=1)
    """How many."""

    @property
    def level(self) -> float:
        """Of the rule."""
        levels: Mapping[Activity, float] = {"relative": self.relative, "absolute": self.absolute, "topk": self.topk}
        return levels[self.active]


def activity(observed: Observations, settings: ConditionedSettings) -> Tensor:
    """bool [N,P]: in which images prototypes are active."""
    return active_images(observed.activations, settings.active, settings.level)


def hits_of(observed: Observations, peaks: Tensor) -> Tensor:
    """bool [N,P,T]: whether the window around a peak [N,P,2] holds each part."""
    parts, blocks = parts_of(observed), peaks.split(_AT_ONCE, 1)
    return torch.cat([part_distances(block, parts) <= observed.half_window for block in blocks], 1)


def conditioned_score(observed: Observations, values: Callable[[Tensor, Tensor], Tensor], excluded: str) -> Score:
    """100 times the mean over prototypes, those that cannot be measured left out.

    Args:
        observed: Of the model.
        values: Peaks [N,P,2] clean and under noise -> values [P] in [0, 1], NaN for prototypes that are left out.
        excluded: Why they are.
    """
    columns = observed.columns["all_peaks"]
    found = 100 * values(columns["all"], columns["noisy"])
    count, size = columns["all"].shape[1], observed.description.size
    drawn = random_points(observed.settings.seed, "all peaks", observed.ids, 2 * count, (size, size))
    centre = torch.full_like(columns["all"], size // 2)
    return replace(
        over_prototypes(observed, found, {excluded: int(found.isnan().sum())}),
        baselines={
            CENTRE: mean(100 * values(centre, centre)),
            RANDOM: mean(100 * values(*drawn.split(count, 1))),
        },
    )
