"""Purity of the part that each prototype shows most often (Nauta et al. 2023, second figure)."""

from __future__ import annotations

from dataclasses import replace

from protoexplain.metrics.base import Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.scores import purity


def compute(observed: Observations, settings: purity.PuritySettings) -> Score:
    """Mean over prototypes of the share of best patches that show the part most patches show."""
    return purity.purity_score(observed, settings, lambda counts: counts.most_often)


METRIC = replace(
    purity.METRIC,
    title="Purity of the most frequent part",
    help="As purity, but for the part that a prototype's best patches show most often, so that a part which shows only "
    "once cannot make it pure. High is good.",
    compute=compute,
)
