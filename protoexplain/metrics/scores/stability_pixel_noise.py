"""Stability under noise in pixels: the stability score with the published noise as ResNets see it.

The published noise (Huang et al. 2023) is given for normalised inputs, whose unit is the standard deviation that a
backbone divides by: 0.225 of the range of pixels for ResNets, 0.5 for EfficientNet-Lite, whose pictures get 2.2 times
as much of it.  Here all backbones get the same pixels.
"""

from __future__ import annotations

from protoexplain.metrics.base import Metric, NoSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.scores.stability import stability_score


def compute(seen: Observations, settings: NoSettings) -> Score:
    """100 times the mean over prototypes of the share of images in which they are stable."""
    return stability_score(seen, "pixel noise")


METRIC = Metric(
    title="Stability, noise in pixels",
    help="As stability, but with noise of the same pixels for every backbone: what the published noise is for a "
    "ResNet. High is good; read it together with consistency.",
    unit="%",
    higher_is_better=True,
    low=0,
    high=100,
    passes=frozenset({"peaks", "pixel_noise"}),
    needs=frozenset({"parts", "places"}),
    compute=compute,
)
