"""Foreign images told apart: area under the ROC curve of how familiar test images and foreign ones look.

The familiarity is that of one threshold for a whole model: the best class score above the mean over the classes.  The
published score, the best one alone, is in the details.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from pydantic import Field

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.bootstrap import LEVEL
from protoexplain.metrics.stats.out_of_distribution import area_under_roc
from protoexplain.models.calibration import familiarity, threshold_of


class AurocSettings(MetricSettings):
    """Of the area under the ROC curve."""

    passing: float = Field(0.95, gt=0, le=1)
    """Share of the test images that pass at the threshold for which the details name the share of foreign ones."""


def compute(observed: Observations, settings: AurocSettings) -> Score:
    """The area, with the interval of DeLong et al. (1988)."""
    assert observed.foreign is not None
    logits = observed.logits, observed.foreign["scores"]["logits"]
    known, foreign = map(familiarity, logits)
    area, deviation = area_under_roc(known, foreign)
    ends: tuple[float | None, float | None] = (None, None)
    if math.isfinite(deviation):
        reach = NormalDist().inv_cdf((1 + LEVEL) / 2) * deviation
        ends = max(area - reach, 0.0), min(area + reach, 1.0)
    accepted = foreign >= threshold_of(known, settings.passing)
    return Score(
        area,
        *ends,
        n_used=len(foreign),
        over="images",
        baselines={"chance": 0.5},
        details={
            "foreign_images_accepted": float(accepted.double().mean()),
            "of_the_best_class_score": area_under_roc(*(scores.double().amax(1) for scores in logits))[0],
            "test_images": len(known),
            "foreign_images": len(foreign),
        },
    )


METRIC = Metric(
    title="Foreign images told apart",
    help="How often a test image has a best class score further above the mean of all than an image of unknown things: "
    "the area under the ROC curve. High is good; 0.5 is guessing.",
    higher_is_better=True,
    passes=frozenset({"scores"}),
    needs=frozenset({"foreign"}),
    compute=compute,
    settings=AurocSettings,
)
