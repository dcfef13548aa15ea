"""Active prototypes: how many are found in an image (Nauta et al. 2023)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from protoexplain.metrics.base import Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.scores import explanation_size
from protoexplain.metrics.stats.explanation_sizes import ALL, EvidenceSettings, active_size, size_score


def compute(observed: Observations, settings: EvidenceSettings) -> Score:
    """Mean over images of the number of prototypes whose activation exceeds epsilon."""
    sizes = partial(active_size, observed.activations)
    return size_score(observed, settings, sizes, {ALL: float(observed.description.num_prototypes)})


METRIC = replace(
    explanation_size.METRIC,
    title="Active prototypes",
    help="Prototypes found in an image, whatever they speak for. Low is good; activations of ProtoPNet are never 0, so "
    "there it says little.",
    compute=compute,
)
