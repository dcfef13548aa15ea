"""Misalignment PLC: how far a prototype's region moves when what lies outside its box is attacked (Sacha et al. 2024).

Not the score of that name in QuanProto.
"""

from __future__ import annotations

from dataclasses import replace

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.misalignment import INDEPENDENT
from protoexplain.metrics.stats.misalignment_scores import attack_score


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Mean over images of the displacement of the attacked prototype that fired most."""
    score = attack_score(observed, lambda columns: columns["displacement"])
    return replace(score, baselines={**score.baselines, "independent places": INDEPENDENT})


METRIC = Metric(
    title="Misalignment: location change (PLC)",
    help="100 (1 - IoU) of the hottest tenth of the prototype's map before and after an attack outside its box. Low is "
    "good; two places that have nothing to do with each other get 94.7.",
    unit="%",
    higher_is_better=False,
    low=0,
    high=100,
    passes=frozenset({"scores", "attack"}),
    needs=frozenset({"places"}),
    compute=compute,
)
