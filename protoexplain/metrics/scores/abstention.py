"""Abstention: images in which nothing was found for any class (Nauta et al. 2023)."""

from __future__ import annotations

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import over_images
from protoexplain.metrics.stats.out_of_distribution import abstained


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Share of images whose largest class score is exactly 0."""
    return over_images(observed, abstained(observed.logits).double())


METRIC = Metric(
    title="Abstention",
    help="Share of test images for which no class gets any evidence, so that the model does not decide. Only heads "
    "without negative weights, on activations that can be 0, can abstain; low is good on known classes.",
    higher_is_better=False,
    passes=frozenset({"scores"}),
    compute=compute,
)
