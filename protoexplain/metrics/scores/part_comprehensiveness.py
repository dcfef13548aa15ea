"""Comprehensiveness (Zhu et al. 2025, non-parametric part prototypes): do the prototypes of a class cover the object?

IoU of the object with the union of the maps of the class where they reach 0.6 of their range, over images.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import mean, over_images


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """The mean over images whose object is known; of many prototypes the five strongest count."""
    columns = observed.columns["part_cover"]
    unknown = columns["object"] < 0
    own, whole = (columns[name].masked_fill(unknown, torch.nan) for name in ("covered", "object"))
    score = over_images(observed, own, {"images whose object is not known or does not show": int(unknown.sum())})
    return replace(score, baselines={"whole picture": mean(whole)})


METRIC = Metric(
    title="Comprehensiveness of parts",
    help="Overlap of the object with all that the maps of its class mark together. High is good; marking the whole "
    "picture gets the share of the object.",
    higher_is_better=True,
    passes=frozenset({"part_cover"}),
    needs=frozenset({"regions", "places"}),
    compute=compute,
)
