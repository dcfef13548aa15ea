"""Sizes of explanations, by counting evidence above epsilon (Nauta et al. 2023; Saralajew et al. 2025).

Activations d [N,P], weights W [C,P] of presence: for CBC these are those of positive reasoning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from protoexplain.metrics.base import Curve, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import mean, over_images

ALL = "all prototypes"
_EPSILONS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Of the curve."""
_CHUNK = 1 << 24


class EvidenceSettings(MetricSettings):
    """Of all sizes."""

    epsilon: float = Field(1e-3, ge=0)
    """What is not above this does not count."""


def predicted_size(activations: Tensor, weights: Tensor, predicted: Tensor, epsilon: float) -> Tensor:
    """int64 [N]: number of prototypes k with |d_k W_ck| > epsilon for the predicted class c."""
    return ((activations * weights[predicted]).abs() > epsilon).sum(1)


def all_classes_size(activations: Tensor, weights: Tensor, epsilon: float) -> Tensor:
    """int64 [N]: number of pairs (c, k) with d_k W_ck > epsilon."""
    rows = activations.split(max(1, _CHUNK // weights.numel()))
    return torch.cat([((part[:, None] * weights) > epsilon).sum((1, 2)) for part in rows])


def active_size(activations: Tensor, epsilon: float) -> Tensor:
    """int64 [N]: number of prototypes with d_k > epsilon."""
    return (activations > epsilon).sum(1)


def used(weights: Tensor, epsilon: float) -> Tensor:
    """bool [P]: whether W_ck > epsilon for some class c."""
    return (weights > epsilon).any(0)


def evidence_curve(epsilon: float, score: Callable[[float], float]) -> Curve:
    """A score over epsilon."""
    x = sorted({*_EPSILONS, epsilon})
    return Curve("epsilon", tuple(x), tuple(score(value) for value in x), epsilon)


def size_score(
    observed: Observations, settings: EvidenceSettings, sizes: Callable[[float], Tensor], everything: dict[str, float]
) -> Score:
    """Mean over images of sizes(epsilon) [N], with its curve; `everything` names the greatest possible size."""
    return replace(
        over_images(observed, sizes(settings.epsilon)),
        baselines=everything,
        curves=(evidence_curve(settings.epsilon, lambda epsilon: mean(sizes(epsilon).double())),),
    )
