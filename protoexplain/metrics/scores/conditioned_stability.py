"""Activation-conditioned stability: does a prototype hit the same parts under noise where it is active?

As stability (Huang et al. 2023), with one draw of its noise, over the images of all classes in which a prototype is
active; for prototypes that classes share.  A definition of this program: no other is published.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from protoexplain.metrics.base import Metric, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import mean
from protoexplain.metrics.stats.conditioned import mean_over_active, still_active
from protoexplain.metrics.stats.conditioned_scores import (
    ConditionedSettings,
    activity,
    conditioned_score,
    hits_of,
)


def compute(observed: Observations, settings: ConditionedSettings) -> Score:
    """100 times the mean over prototypes; in the details the share of active images that stay active under noise."""
    active = activity(observed, settings)

    def values(peaks: Tensor, noisy: Tensor) -> Tensor:
        same = (hits_of(observed, peaks) == hits_of(observed, noisy)).all(2)
        return mean_over_active(same, active)

    after = observed.columns["all_peaks"]["noisy_activations"]
    kept = still_active(observed.activations, after, active, settings.active, settings.level)
    score = conditioned_score(observed, values, "prototypes that are active in no image")
    return replace(score, details={"still_active": 100 * mean(mean_over_active(kept, active))})


METRIC = Metric(
    title="Activation-conditioned stability",
    help="How often a prototype hits exactly the same parts after weak noise, in the images in which it is active, of "
    "whatever class. High is good; a peak that never moves gets 100.",
    unit="%",
    higher_is_better=True,
    high=100,
    passes=frozenset({"scores", "all_peaks"}),
    needs=frozenset({"parts", "places"}),
    compute=compute,
    settings=ConditionedSettings,
)
