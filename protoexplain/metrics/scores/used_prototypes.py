"""Used prototypes: global explanation size, those with weight for some class (Nauta et al. 2023)."""

from __future__ import annotations

import math

from protoexplain.metrics.base import Metric, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.explanation_sizes import ALL, EvidenceSettings, evidence_curve, used


def compute(observed: Observations, settings: EvidenceSettings) -> Score:
    """Number of prototypes with a weight above epsilon; no interval, since it is a property of the head."""
    weights = observed.description.presence_weights
    kept = used(weights, settings.epsilon)
    return Score(
        float(kept.sum()),
        None,
        None,
        n_used=len(kept),
        over="prototypes",
        baselines={ALL: float(len(kept))},
        curves=(evidence_curve(settings.epsilon, lambda epsilon: float(used(weights, epsilon).sum())),),
        details={"used": kept.tolist()},
    )


METRIC = Metric(
    title="Used prototypes",
    help="Prototypes that can add to the score of some class: the size of the whole explanation. Low is good, as long "
    "as the accuracy holds.",
    unit="prototypes",
    higher_is_better=False,
    high=math.inf,
    passes=frozenset({"scores"}),
    compute=compute,
    settings=EvidenceSettings,
)
