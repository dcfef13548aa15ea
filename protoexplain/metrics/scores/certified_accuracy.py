"""Certified accuracy: images whose class no move of a given length can take away (Saralajew et al. 2025)."""

from __future__ import annotations

import math
from dataclasses import replace

from pydantic import Field
from torch import Tensor

from protoexplain.metrics.base import Curve, Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import mean, over_images


class CertificateSettings(MetricSettings):
    """Lengths of moves, as Euclidean distances of pixel values in [0, 1]."""

    radius: float = Field(0.5, ge=0)
    """At which the score is given."""
    radii: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.58, 2.0)
    """Of the curve; 1.58 is published for MNIST, and at 0 the certified accuracy is the accuracy."""


def compute(observed: Observations, settings: CertificateSettings) -> Score:
    """Share of images that are right and whose certified radius is at least the given one."""
    known = observed.columns["certificate"]["radius"]
    radii = sorted({*settings.radii, settings.radius})
    shares = tuple(mean(certified(known, radius)) for radius in radii)
    return replace(
        over_images(observed, certified(known, settings.radius)),
        curves=(Curve("radius", tuple(radii), shares, settings.radius),),
        details={"median_radius": float(known.double().quantile(0.5)) if len(known) else math.nan},
    )


def certified(radii: Tensor, radius: float) -> Tensor:
    """float64 [N]: 1 where the answer is right and stays so within the radius; wrong answers have radii below zero."""
    return ((radii > 0) & (radii >= radius)).double()


METRIC = Metric(
    title="Certified accuracy",
    help="Share of test images that are right and stay right however their pixels move by up to the radius, proven and "
    "not tried out. High is good, beside an accuracy that is high, too.",
    higher_is_better=True,
    passes=frozenset({"certificate"}),
    needs=frozenset({"certificate"}),
    compute=compute,
    settings=CertificateSettings,
)
