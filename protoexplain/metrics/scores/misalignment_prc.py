"""Misalignment PRC: how many foreign prototypes overtake when all outside the box is attacked (Sacha et al. 2024).

Not the score of that name in QuanProto.
"""

from __future__ import annotations

import math

from torch import Tensor

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Columns, Observations
from protoexplain.metrics.stats.misalignment import rank_change
from protoexplain.metrics.stats.misalignment_scores import attack_score


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Mean over images; prototypes that the class of the image is not measured by are foreign."""
    foreign = ~observed.description.measured_by(observed.labels)

    def values(columns: Columns) -> Tensor:
        return rank_change(columns["before"], columns["after"], columns["target"], foreign)

    return attack_score(observed, values)


METRIC = Metric(
    title="Misalignment: rank change (PRC)",
    help="By how many prototypes of other classes more the attacked prototype is surpassed after an attack outside its "
    "box. Low is good.",
    unit="prototypes",
    higher_is_better=False,
    low=-math.inf,
    high=math.inf,
    passes=frozenset({"scores", "attack"}),
    needs=frozenset({"places"}),
    compute=compute,
)
