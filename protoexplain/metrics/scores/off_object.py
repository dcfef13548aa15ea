"""Prototypes off the object: the training patches that stand for them show something else."""

from __future__ import annotations

from dataclasses import replace

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import mean, over_prototypes

_UNKNOWN = "prototypes whose training image or its object is not known"
_BASELINES = ("centre cell", "random cell")


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Percent of the prototypes whose cell has its centre off the object in their own training image."""
    assert observed.patches is not None
    own, *others = (100 * observed.patches.off_object).unbind(1)
    unknown = int(own.isnan().sum())
    return replace(
        over_prototypes(observed, own, {_UNKNOWN: unknown}),
        baselines={name: mean(values) for name, values in zip(_BASELINES, others, strict=True)},
    )


METRIC = Metric(
    title="Prototypes off the object",
    help="Share of prototypes whose training patch has its middle off the object, in its mask or its box. Low is good: "
    "such a prototype shows the surroundings.",
    unit="%",
    higher_is_better=False,
    high=100,
    passes=frozenset({"scores"}),
    needs=frozenset({"places", "training_regions"}),
    compute=compute,
)
