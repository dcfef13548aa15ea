"""Prototype score (ProtoPNeXt, Willard et al. 2024): the mean of sparsity, stability and consistency.

Sparsity counts as 1 at most.  Consistency and stability are those of Huang et al. 2023, as fractions.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.scores import consistency, stability
from protoexplain.metrics.stats.averages import over_prototypes
from protoexplain.metrics.stats.prototype_counts import sparsity_of


def combined(sparsity: float, stability: Tensor, consistency: Tensor) -> Tensor:
    """(min(sparsity, 1) + stability + consistency) / 3 of fractions."""
    return (min(sparsity, 1.0) + stability + consistency) / 3


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Over prototypes; in the details the product with the accuracy, which ProtoPNeXt optimises."""
    sparsity = sparsity_of(observed.description)
    parts = [one.METRIC.compute(observed, one.METRIC.settings()) for one in (stability, consistency)]
    singly = [_fractions(one) for one in parts]
    score = over_prototypes(observed, combined(sparsity, *singly))
    names = set.intersection(*(set(one.baselines) for one in parts))
    baselines = {
        name: float(combined(1.0, *(torch.tensor(one.baselines[name] / 100) for one in parts)))
        for name in sorted(names)
    }
    accuracy = float(observed.correct.double().mean())
    details = {"sparsity": sparsity, "accuracy": accuracy, "objective": score.value * accuracy}
    return replace(score, baselines=baselines, details=details)


def _fractions(score: Score) -> Tensor:
    """[P] from values in percent; NaN for prototypes that were left out."""
    assert score.per_prototype is not None
    values = [torch.nan if value is None else value for value in score.per_prototype]
    return torch.tensor(values, dtype=torch.float64) / 100


METRIC = Metric(
    title="Prototype score",
    help="Mean of prototype sparsity, stability and consistency as fractions, sparsity at most 1 (ProtoPNeXt). High is "
    "good; the baselines look at the middle or anywhere, with one prototype for each class.",
    higher_is_better=True,
    passes=frozenset({"scores", "peaks", "noisy"}),
    needs=frozenset({"parts", "places"}),
    compute=compute,
)
