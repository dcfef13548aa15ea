"""Class from the object: how much of the class the cells know that lie on the object.

It says what prototypes on the object have to work with, and how much `class_from_background` is in comparison.
"""

from __future__ import annotations

from protoexplain.metrics.base import Metric, NoSettings, Score
from protoexplain.metrics.observe.cells import OBJECT
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.linear_probe import cell_class_score


def compute(seen: Observations, settings: NoSettings) -> Score:
    """Percent of the test images whose class is read rightly."""
    return cell_class_score(seen, OBJECT)


METRIC = Metric(
    title="Class read from the object",
    help="How often a linear classifier names the class from the cells of the latent map whose middle lies on the "
    "object. High is good, as long as the background does not tell it as well.",
    unit="%",
    higher_is_better=True,
    low=0,
    high=100,
    passes=frozenset({"scores", "cells"}),
    training=frozenset({"cells"}),
    needs=frozenset({"places", "regions", "training_regions"}),
    compute=compute,
)
