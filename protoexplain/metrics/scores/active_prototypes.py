"""Active prototypes: how many are found in an image (Nauta et al. 2023)."""

from __future__ import annotations

import math

from torch import Tensor

from protoexplain.metrics.base import Metric, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.explanation_sizes import ALL, EvidenceSettings, active_size, size_score


def compute(seen: Observations, settings: EvidenceSettings) -> Score:
    """Mean over images of the number of prototypes whose activation exceeds epsilon."""

    def sizes(epsilon: float) -> Tensor:
        return active_size(seen.activations, epsilon)

    return size_score(seen, settings, sizes, {ALL: float(seen.subject.num_prototypes)})


METRIC = Metric(
    title="Active prototypes",
    help="Prototypes found in an image, whatever they speak for. Low is good; activations of ProtoPNet are never 0, so "
    "there it says little.",
    unit="prototypes",
    higher_is_better=False,
    low=0,
    high=math.inf,
    passes=frozenset({"scores"}),
    compute=compute,
    settings=EvidenceSettings,
)
