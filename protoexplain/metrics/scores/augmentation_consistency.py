"""Consistency without part labels: is there one place in each image that a prototype finds again in all its views?

The part-based score (Huang et al. 2023) with known geometry in the place of annotated parts.  The places that
the peaks of an image and its views point to, brought into the image, are candidate parts; the best one is that which
the largest share of the other views showing it agrees with.  f_j is that share over all images, and prototype j is
consistent if f_j reaches the threshold.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.scores.consistency import best_frequency
from protoexplain.metrics.stats.averages import listed, mean, over_prototypes
from protoexplain.metrics.stats.equivariance import NO_VIEW, agreement, baseline_distances, distances, own_peaks
from protoexplain.metrics.stats.part_hits import averaged, curve, half_windows, reaches


class AugmentationConsistencySettings(MetricSettings):
    """Of the augmentation consistency."""

    threshold: float = Field(0.8, ge=0, le=1)
    """Least share of views that agree on one place."""


def agreeing(observed: Observations, half_window: float, apart: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
    """Over all images, int64 [P]: views that agree with the best place of an image, and views that show it.

    `apart` and `shown` are as from `distances`; of places with equal shares the one that more views show is best.
    """
    others = shown & ~torch.eye(len(apart), dtype=torch.bool)[:, :, None, None]
    showing, hits = others.sum(1), (others & (apart <= half_window)).sum(1)
    best = (hits.double() / showing.clamp_min(1) + 1e-3 * showing).argmax(0, keepdim=True)
    return observed.by_prototype(hits.gather(0, best)[0]), observed.by_prototype(showing.gather(0, best)[0])


def compute(observed: Observations, settings: AugmentationConsistencySettings) -> Score:
    """100 times the share of prototypes whose views agree."""

    def consistent(half_window: float, apart: Tensor, shown: Tensor) -> Tensor:
        hit, showing = agreeing(observed, half_window, apart, shown)
        flags = reaches(hit[:, None], showing[:, None], settings.threshold)
        return (100 * flags.double()).masked_fill(showing == 0, math.nan)

    def by_window(half_window: float, apart: Tensor, shown: Tensor) -> float:
        return mean(consistent(half_window, apart, shown))

    own, baselines = distances(observed, own_peaks(observed)), baseline_distances(observed)
    values = consistent(observed.half_window, *own)
    hit, showing = agreeing(observed, observed.half_window, *own)
    frequency = hit.double() / showing
    return replace(
        over_prototypes(observed, values, observed.unmeasured(values, NO_VIEW)),
        baselines=averaged(baselines, lambda *tables: by_window(observed.half_window, *tables)),
        curves=(
            curve("half window in pixels", half_windows(observed), observed.half_window, by_window, own, baselines),
        ),
        details={
            "frequency": listed(frequency),
            "agreement_with_consistency": None
            if observed.parts is None
            else agreement(frequency, best_frequency(observed)),
        },
    )


METRIC = Metric(
    title="Augmentation consistency",
    help="Share of prototypes that find one and the same place of an image again in nearly all its flipped, cut, "
    "shifted and turned views. Needs no part labels. High is good.",
    unit="%",
    higher_is_better=True,
    high=100,
    passes=frozenset({"peaks", "views"}),
    needs=frozenset({"places"}),
    compute=compute,
    settings=AugmentationConsistencySettings,
)
