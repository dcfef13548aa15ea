"""Sparsity of the last layer: share of class weights that are nearly zero (Nauta et al. 2023)."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from protoexplain.metrics.base import Metric, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import mean, over_prototypes
from protoexplain.metrics.stats.explanation_sizes import EvidenceSettings, evidence_curve


def compute(observed: Observations, settings: EvidenceSettings) -> Score:
    """Mean over prototypes of the share of their class weights of at most epsilon in size."""

    def sparsity(epsilon: float) -> Tensor:
        return (observed.description.class_weights.abs() <= epsilon).double().mean(0)

    return replace(
        over_prototypes(observed, sparsity(settings.epsilon), {}),
        curves=(evidence_curve(settings.epsilon, lambda epsilon: mean(sparsity(epsilon))),),
    )


METRIC = Metric(
    title="Weight sparsity",
    help="Share of class weights that are nearly zero. High is good: prototypes then speak for few classes.",
    higher_is_better=True,
    passes=frozenset({"scores"}),
    compute=compute,
    settings=EvidenceSettings,
)
