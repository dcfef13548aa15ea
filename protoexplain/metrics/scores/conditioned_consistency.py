"""Activation-conditioned consistency: does a prototype hit the same part in the images in which it is active?

As consistency (Huang et al. 2023), over the images of all classes in which a prototype is active; for prototypes that
classes share.  A definition of this program: no other is published.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from protoexplain.metrics.base import Metric, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.conditioned import consistent, part_counts
from protoexplain.metrics.stats.conditioned_scores import (
    ConditionedSettings,
    activity,
    conditioned_score,
    hits_of,
)
from protoexplain.metrics.stats.part_hits import parts_of


class ConditionedConsistencySettings(ConditionedSettings):
    """In which images a prototype is active, and what is consistent."""

    threshold: float = Field(0.8, ge=0, le=1)
    """Least share of images in which the part is hit."""


def compute(observed: Observations, settings: ConditionedConsistencySettings) -> Score:
    """100 times the share of consistent prototypes among those with a part that shows twice while they are active."""
    active, visible = activity(observed, settings), parts_of(observed).visible

    def values(peaks: Tensor, noisy: Tensor) -> Tensor:
        return consistent(*part_counts(active, visible, hits_of(observed, peaks)), settings.threshold)

    return conditioned_score(observed, values, "prototypes that are active in no two images that show the same part")


METRIC = Metric(
    title="Activation-conditioned consistency",
    help="Share of prototypes that hit the same part in nearly all images in which they are active, of whatever class. "
    "High is good; compare it with the baselines, which know nothing of the image.",
    unit="%",
    higher_is_better=True,
    high=100,
    passes=frozenset({"scores", "all_peaks"}),
    needs=frozenset({"parts", "places"}),
    compute=compute,
    settings=ConditionedConsistencySettings,
)
