"""Foreign images told apart: area under the ROC curve of how familiar test images and foreign ones are."""

from __future__ import annotations

import math
from statistics import NormalDist

from protoexplain.metrics.base import Metric, NoSettings, Score
from protoexplain.metrics.bootstrap import LEVEL
from protoexplain.metrics.observations import Observations
from protoexplain.metrics.outliers import area_under_roc, familiarity


def compute(seen: Observations, settings: NoSettings) -> Score:
    """The area, with the interval of DeLong et al. (1988)."""
    assert seen.foreign is not None
    known, foreign = familiarity(seen.logits), familiarity(seen.foreign["scores"]["logits"])
    area, deviation = area_under_roc(known, foreign)
    ends: tuple[float | None, float | None] = (None, None)
    if math.isfinite(deviation):
        reach = NormalDist().inv_cdf((1 + LEVEL) / 2) * deviation
        ends = max(area - reach, 0.0), min(area + reach, 1.0)
    return Score(
        area,
        *ends,
        n_used=len(foreign),
        over="images",
        baselines={"chance": 0.5},
        details={"test_images": len(known), "foreign_images": len(foreign)},
    )


METRIC = Metric(
    title="Foreign images told apart",
    help="How often a test image has a higher best class score than an image of unknown things: the area under the ROC "
    "curve. High is good; 0.5 is guessing.",
    unit="",
    higher_is_better=True,
    low=0,
    high=1,
    passes=frozenset({"scores"}),
    needs=frozenset({"foreign"}),
    compute=compute,
)
