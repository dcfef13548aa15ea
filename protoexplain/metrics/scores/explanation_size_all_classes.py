"""Local explanation size over all classes: class-prototype pairs that count (Nauta et al. 2023)."""

from __future__ import annotations

import math

from torch import Tensor

from protoexplain.metrics.base import Metric, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.explanation_sizes import EvidenceSettings, all_classes_size, size_score


def compute(seen: Observations, settings: EvidenceSettings) -> Score:
    """Mean over images of the number of pairs whose evidence exceeds epsilon; each image by itself."""
    weights = seen.subject.presence_weights

    def sizes(epsilon: float) -> Tensor:
        return all_classes_size(seen.activations, weights, epsilon)

    return size_score(seen, settings, sizes, {"all pairs": float(weights.numel())})


METRIC = Metric(
    title="Explanation size, all classes",
    help="Pairs of a class and a prototype with evidence for it in an image. Low is good, as long as the accuracy "
    "holds.",
    unit="pairs",
    higher_is_better=False,
    low=0,
    high=math.inf,
    passes=frozenset({"scores"}),
    compute=compute,
    settings=EvidenceSettings,
)
