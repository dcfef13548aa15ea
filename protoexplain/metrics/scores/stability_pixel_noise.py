"""Stability under noise in pixels: the stability score with the published noise as ResNets see it.

The published noise (Huang et al. 2023) is given for normalised inputs, whose unit is the standard deviation that a
backbone divides by: 0.225 of the range of pixels for ResNets, 0.5 for EfficientNet-Lite, whose pictures get 2.2 times
as much of it.  Here all backbones get the same pixels.
"""

from __future__ import annotations

from dataclasses import replace

from protoexplain.metrics.base import MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.scores import stability


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """100 times the mean over prototypes of the share of images in which they are stable."""
    return stability.stability_score(observed, "pixel noise")


METRIC = replace(
    stability.METRIC,
    title="Stability, noise in pixels",
    help="As stability, but with noise of the same pixels for every backbone: what the published noise is for a "
    "ResNet. High is good; read it together with consistency.",
    passes=frozenset({"peaks", "pixel_noise"}),
    compute=compute,
)
