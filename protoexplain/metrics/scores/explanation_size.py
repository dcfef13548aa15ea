"""Local explanation size: prototypes that count for the predicted class (Nauta et al. 2023, Saralajew et al. 2025)."""

from __future__ import annotations

import math
from functools import partial

from protoexplain.metrics.base import Metric, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.explanation_sizes import ALL, EvidenceSettings, predicted_size, size_score


def compute(observed: Observations, settings: EvidenceSettings) -> Score:
    """Mean over images of the number of prototypes whose evidence for the predicted class exceeds epsilon in size."""
    weights, predicted = observed.description.presence_weights, observed.logits.argmax(1)
    sizes = partial(predicted_size, observed.activations, weights, predicted)
    return size_score(observed, settings, sizes, {ALL: float(observed.description.num_prototypes)})


METRIC = Metric(
    title="Explanation size",
    help="Prototypes with evidence for the predicted class of an image. Low is good, as long as the accuracy holds: "
    "few parts can be looked at.",
    unit="prototypes",
    higher_is_better=False,
    high=math.inf,
    passes=frozenset({"scores"}),
    compute=compute,
    settings=EvidenceSettings,
)
