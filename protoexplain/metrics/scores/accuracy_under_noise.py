"""Accuracy under noise: what weak noise leaves of the accuracy, beside which stability has to be read."""

from __future__ import annotations

import math

import numpy as np

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import interval_of, mean
from protoexplain.metrics.stats.bootstrap import ratio


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Accuracy on images with noise, averaged over the draws, as a share of the accuracy on clean ones."""
    right = observed.stacked("pixel noise", "logits").argmax(2) == observed.labels
    noisy, clean = right.double().mean(0), observed.correct.double()
    accuracy, share = mean(clean), mean(noisy) / mean(clean) if clean.any() else math.nan
    return Score(
        share,
        *interval_of(observed, np.stack([noisy.numpy(), clean.numpy()], 1), ratio),
        n_used=len(clean),
        over="images",
        baselines={"chance": 1 / observed.logits.shape[1] / accuracy if accuracy else math.nan},
        details={"clean": accuracy, "noisy": mean(noisy), "by_draw": [mean(draw.double()) for draw in right]},
    )


METRIC = Metric(
    title="Accuracy under noise",
    help="Accuracy on images with weak noise, the same pixels for every backbone, as a share of the accuracy on clean "
    "ones. High is good: explanations cannot be more stable than the answers.",
    higher_is_better=True,
    high=math.inf,
    passes=frozenset({"scores", "pixel_noise"}),
    compute=compute,
)
