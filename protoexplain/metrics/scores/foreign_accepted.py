"""Foreign images that pass for known ones when 95 % of the test images pass (Nauta et al. 2023: FPR at 95).

The class scores are those that the model decides by; the published figure leaves a model's inference threshold out.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import counted, interval_of, mean
from protoexplain.metrics.stats.bootstrap import grouped
from protoexplain.metrics.stats.out_of_distribution import accepted, class_thresholds, overall_threshold


class ForeignSettings(MetricSettings):
    """Of the share of foreign images that pass."""

    passing: float = Field(0.95, gt=0, lt=1)
    """Share of the test images that has to pass."""


def compute(observed: Observations, settings: ForeignSettings) -> Score:
    """Share of foreign images whose best class score reaches the threshold of that class."""
    assert observed.foreign is not None
    known, foreign = observed.logits, observed.foreign["scores"]["logits"]
    passed = accepted(foreign, class_thresholds(known, settings.passing)).double()
    overall = foreign.amax(1) >= overall_threshold(known, settings.passing)
    return Score(
        mean(passed),
        *interval_of(observed, grouped(passed.numpy(), np.arange(len(passed)))),
        n_used=counted(passed),
        over="images",
        baselines={"chance": settings.passing},
        details={"one_threshold_for_all_classes": mean(overall.double()), "foreign_images": len(passed)},
    )


METRIC = Metric(
    title="Foreign images accepted",
    help="Share of images of unknown things that look as familiar to the model as its test images. Low is good.",
    higher_is_better=False,
    passes=frozenset({"scores"}),
    needs=frozenset({"foreign"}),
    compute=compute,
    settings=ForeignSettings,
)
