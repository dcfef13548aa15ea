"""Repeated patches: prototypes that stand for the same patch of the same training image as another one."""

from __future__ import annotations

import torch

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import over_prototypes

NO_PATCH = "prototypes without a training patch"


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Percent of the prototypes that share their patch with one of their class and branch."""
    assert observed.patches is not None
    there = observed.patches.there
    values = 100 * observed.patches.repeated.double().masked_fill(~there, torch.nan)
    return over_prototypes(observed, values, {NO_PATCH: int((~there).sum())})


METRIC = Metric(
    title="Repeated patches",
    help="Share of prototypes whose training patch is also that of another prototype of the class. Low is good: the "
    "same reason is shown twice and counts twice.",
    unit="%",
    higher_is_better=False,
    high=100,
    passes=frozenset({"scores"}),
    compute=compute,
)
