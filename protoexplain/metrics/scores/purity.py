"""Purity of the purest part of each prototype (Nauta et al. 2023, PIP-Net)."""

from __future__ import annotations

from protoexplain.metrics.base import Metric, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.part_purity import PuritySettings, purity_score


def compute(seen: Observations, settings: PuritySettings) -> Score:
    """Mean over prototypes of the largest share of best patches that show one part."""
    return purity_score(seen, settings, lambda counts: counts.purest)


METRIC = Metric(
    title="Purity",
    help="Share of a prototype's ten best patches that show one and the same part of the object, for its purest part. "
    "High is good; a part that shows once and is hit once is pure.",
    unit="",
    higher_is_better=True,
    low=0,
    high=1,
    passes=frozenset({"scores", "patches"}),
    needs=frozenset({"parts", "places"}),
    compute=compute,
    settings=PuritySettings,
)
