"""Local explanation size: prototypes that count for the predicted class (Nauta et al. 2023, Saralajew et al. 2025)."""

from __future__ import annotations

import math

from torch import Tensor

from protoexplain.metrics.base import Metric, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.explanation_sizes import ALL, EvidenceSettings, predicted_size, size_score


def compute(seen: Observations, settings: EvidenceSettings) -> Score:
    """Mean over images of the number of prototypes whose evidence for the predicted class exceeds epsilon in size."""
    predicted = seen.logits.argmax(1)

    def sizes(epsilon: float) -> Tensor:
        return predicted_size(seen.activations, seen.subject.presence_weights, predicted, epsilon)

    return size_score(seen, settings, sizes, {ALL: float(seen.subject.num_prototypes)})


METRIC = Metric(
    title="Explanation size",
    help="Prototypes with evidence for the predicted class of an image. Low is good, as long as the accuracy holds: "
    "few parts can be looked at.",
    unit="prototypes",
    higher_is_better=False,
    low=0,
    high=math.inf,
    passes=frozenset({"scores"}),
    compute=compute,
    settings=EvidenceSettings,
)
