"""Distinctiveness (Zhu et al. 2025, non-parametric part prototypes): do the prototypes of a class look at other places?

One minus the mean IoU of boxes of 72 of 224 pixels around the peaks of two prototypes of the class, over images.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import mean, over_images
from protoexplain.metrics.stats.part_hits import CENTRE, RANDOM


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """The mean over images of classes with two prototypes and more; of many the five strongest count."""
    columns = observed.columns["part_cover"]
    single = columns["overlap"] < 0
    own, random = (1 - columns[name].masked_fill(single, torch.nan) for name in ("overlap", "random"))
    score = over_images(observed, own, {"images whose class has one prototype": int(single.sum())})
    return replace(score, baselines={CENTRE: 0.0, RANDOM: mean(random)})


METRIC = Metric(
    title="Distinctiveness of parts",
    help="One minus the mean overlap of boxes around the places that prototypes of the class look at. High is good; "
    "random places are distinct, too, so read it with consistency.",
    higher_is_better=True,
    passes=frozenset({"part_cover"}),
    needs=frozenset({"places"}),
    compute=compute,
)
