"""Misalignment PAC: how much a prototype forgets when only what lies outside its box is attacked (Sacha et al. 2024).

Not the score of that name in QuanProto.
"""

from __future__ import annotations

import math

from torch import Tensor

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Columns, Observations
from protoexplain.metrics.stats.misalignment import activation_change
from protoexplain.metrics.stats.misalignment_scores import attack_score, of_target


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Mean over images, misclassified ones too; negative where the activation rose."""

    def values(columns: Columns) -> Tensor:
        return activation_change(of_target(columns, "before"), of_target(columns, "after"))

    return attack_score(observed, values, "images where no prototype is active")


METRIC = Metric(
    title="Misalignment: activation change (PAC)",
    help="Percent by which the activation of the prototype that fires most falls when only pixels outside its box are "
    "attacked. Low is good: what counts lies in the box.",
    unit="%",
    higher_is_better=False,
    low=-math.inf,
    high=100,
    passes=frozenset({"scores", "attack"}),
    needs=frozenset({"places"}),
    compute=compute,
)
