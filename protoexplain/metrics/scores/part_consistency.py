"""Part consistency: the consistency score over parts that a prototype can tell apart.

The published score (Huang et al. 2023) counts what is no finding: where a part stands for the whole object, its place
is the middle, and a peak that never moves hits it always; and no local feature tells a left eye from a right one, so
that a perfect prototype of eyes hits each in half of the images.  Here both sides of a part are one part, parts that
stand for the whole object do not count, and the window is a share of the object's side, not of the image's.
"""

from __future__ import annotations

import torch
from pydantic import Field

from protoexplain.metrics.base import Metric, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.scores.consistency import ConsistencySettings, consistency_score
from protoexplain.metrics.settings import PUBLISHED_HALF_WINDOW, PUBLISHED_SIZE
from protoexplain.metrics.stats.averages import over_prototypes
from protoexplain.metrics.stats.part_hits import distinguishable_parts, half_windows

NO_PART = "prototypes for which no part is left that tells anything"


class PartConsistencySettings(ConsistencySettings):
    """Of the part consistency."""

    whole: tuple[str, ...] = ("body", "torso", "trunk", "object", "whole")
    """Names of parts that stand for the whole object, in small letters."""
    window_share: float = Field(PUBLISHED_HALF_WINDOW / PUBLISHED_SIZE, ge=0)
    """Half window as a share of the side of the object's box: 26 pixels of a cut image of 160, 36 of 224."""


def compute(observed: Observations, settings: PartConsistencySettings) -> Score:
    """100 times the share of consistent prototypes."""
    parts = distinguishable_parts(observed, settings.whole)
    if parts is None:
        values = torch.full(observed.images_of.shape, torch.nan)
        return over_prototypes(observed, values, observed.unmeasured(values, NO_PART))
    chosen = round(settings.window_share * observed.description.size)
    return consistency_score(observed, parts, half_windows(observed, chosen), chosen, settings.threshold)


METRIC = Metric(
    title="Part consistency",
    help="As consistency, but left and right sides are one part, parts that stand for the whole object do not count, "
    "and the window is a share of the object's side. High is good; compare it with the baselines.",
    unit="%",
    higher_is_better=True,
    high=100,
    passes=frozenset({"peaks"}),
    needs=frozenset({"parts", "places"}),
    compute=compute,
    settings=PartConsistencySettings,
)
