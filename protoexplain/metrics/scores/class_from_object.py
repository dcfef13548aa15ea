"""Class from the object: how much of the class the cells know that lie on the object.

It says what prototypes on the object have to work with, and how much `class_from_background` is in comparison.
"""

from __future__ import annotations

from dataclasses import replace

from protoexplain.metrics.base import MetricSettings, Score
from protoexplain.metrics.observe.cells import OBJECT
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.scores import class_from_background


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Percent of the test images whose class a linear probe reads from the cells on the object."""
    return class_from_background.linear_probe_score(observed, OBJECT)


METRIC = replace(
    class_from_background.METRIC,
    title="Class read from the object",
    help="How often a linear classifier names the class from the cells of the latent map whose middle lies on the "
    "object. High is good, as long as the background does not tell it as well.",
    higher_is_better=True,
    compute=compute,
)
