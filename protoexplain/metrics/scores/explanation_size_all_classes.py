"""Local explanation size over all classes: class-prototype pairs that count (Nauta et al. 2023)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from protoexplain.metrics.base import Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.scores import explanation_size
from protoexplain.metrics.stats.explanation_sizes import EvidenceSettings, all_classes_size, size_score


def compute(observed: Observations, settings: EvidenceSettings) -> Score:
    """Mean over images of the number of pairs whose evidence exceeds epsilon; each image by itself."""
    weights = observed.description.presence_weights
    sizes = partial(all_classes_size, observed.activations, weights)
    return size_score(observed, settings, sizes, {"all pairs": float(weights.numel())})


METRIC = replace(
    explanation_size.METRIC,
    title="Explanation size, all classes",
    help="Pairs of a class and a prototype with evidence for it in an image. Low is good, as long as the accuracy "
    "holds.",
    unit="pairs",
    compute=compute,
)
