"""Purity of the part that each prototype shows most often (Nauta et al. 2023, second figure)."""

from __future__ import annotations

from protoexplain.metrics.base import Metric, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.part_purity import PuritySettings, purity_score


def compute(seen: Observations, settings: PuritySettings) -> Score:
    """Mean over prototypes of the share of best patches that show the part most patches show."""
    return purity_score(seen, settings, lambda counts: counts.most_often)


METRIC = Metric(
    title="Purity of the most frequent part",
    help="As purity, but for the part that a prototype's best patches show most often, so that a part which shows only "
    "once cannot make it pure. High is good.",
    unit="",
    higher_is_better=True,
    low=0,
    high=1,
    passes=frozenset({"scores", "patches"}),
    needs=frozenset({"parts", "places"}),
    compute=compute,
    settings=PuritySettings,
)
