"""Prototype sparsity (ProtoPNeXt, Willard et al. 2024): one prototype for each class, divided by those that differ.

C (1 + 1 / HW) / (U + Up / HW), U prototypes and Up vectors of them that differ, H x W the latent map; C is 1 where all
classes share the prototypes.  The mean over branches.
"""

from __future__ import annotations

import math

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.prototype_counts import sparsity_of


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Of the model alone, so that there is no interval."""
    unique = observed.description.unique
    return Score(
        sparsity_of(observed.description),
        None,
        None,
        n_used=observed.description.num_prototypes,
        over="prototypes",
        baselines={"one prototype for each class": 1.0},
        details={
            "unique_prototypes": sum(one.prototypes for one in unique),
            "unique_parts": sum(one.parts for one in unique),
        },
    )


METRIC = Metric(
    title="Prototype sparsity",
    help="One prototype of one cell for each class, divided by the prototypes and cells that differ: 1 for that ideal, "
    "above 1 with fewer. High is good: fewer prototypes are to be understood.",
    higher_is_better=True,
    high=math.inf,
    passes=frozenset({"scores"}),
    compute=compute,
)
