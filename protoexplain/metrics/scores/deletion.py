"""Deletion: area under the score of the predicted class while pixels go in the order of the heat map (RISE)."""

from __future__ import annotations

from dataclasses import replace

from protoexplain.metrics.base import Curve, Metric, MetricSettings, Score
from protoexplain.metrics.observe.masking import Mode, area
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import mean, over_images

RANDOM_ORDER = "random pixel order"


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Mean over images of the area under the curve."""
    return area_score(observed, "deletion")


def area_score(observed: Observations, mode: Mode) -> Score:
    """Mean over images of the area under the curve, beside that of pixels in random order, and the mean curve."""
    own, random = (observed.columns[f"{mode}/{order}"]["scores"].double() for order in ("heat", "random"))
    steps = own.shape[1] - 1
    x = tuple(step / steps for step in range(steps + 1))
    lines = [tuple(scores.mean(0).tolist()) for scores in (own, random)]
    changed = "deleted" if mode == "deletion" else "inserted"
    return replace(
        over_images(observed, area(own)),
        baselines={RANDOM_ORDER: mean(area(random))},
        curves=(Curve(f"share of pixels {changed}", x, lines[0], None, {RANDOM_ORDER: lines[1]}),),
        settings={"blank": "mean colour of the backbone's training data"},
    )


METRIC = Metric(
    title="Deletion area",
    help="Mean probability of the predicted class while the pixels are deleted that the heat map ranks first. Low is "
    "good: the map names pixels that matter; a random order shows what any order would do.",
    higher_is_better=False,
    passes=frozenset({"deletion"}),
    needs=frozenset({"places"}),
    compute=compute,
)
