"""Scores of deletion and insertion from the probabilities along the way."""

from __future__ import annotations

from dataclasses import replace

from protoexplain.metrics.base import Curve, Score
from protoexplain.metrics.observe.masking import Mode, area
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import mean, over_images

RANDOM_ORDER = "random pixel order"


def masked_score(seen: Observations, mode: Mode) -> Score:
    """Mean area over images, beside that of pixels in random order, and the mean curve."""
    own, random = (seen.columns[f"{mode}/{order}"]["scores"].double() for order in ("heat", "random"))
    steps = own.shape[1] - 1
    x = tuple(step / steps for step in range(steps + 1))
    lines = [tuple(scores.mean(0).tolist()) for scores in (own, random)]
    changed = "deleted" if mode == "deletion" else "inserted"
    return replace(
        over_images(seen, area(own)),
        baselines={RANDOM_ORDER: mean(area(random))},
        curves=(Curve(f"share of pixels {changed}", x, lines[0], None, {RANDOM_ORDER: lines[1]}),),
        settings={"blank": "mean colour of the backbone's training data"},
    )
