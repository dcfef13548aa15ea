"""Class from the background: how much of the class the cells know that show nothing of the object.

A cell sees far more of the image than it lies on.  What a linear classifier reads from the latent cells that lie
wholly beside the object has leaked there, and a prototype may answer to it anywhere.
"""

from __future__ import annotations

from protoexplain.metrics.base import Metric, NoSettings, Score
from protoexplain.metrics.observe.cells import BACKGROUND
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.linear_probe import linear_probe_score


def compute(observed: Observations, settings: NoSettings) -> Score:
    """Percent of the test images whose class a linear probe reads from the cells beside the object."""
    return linear_probe_score(observed, BACKGROUND)


METRIC = Metric(
    title="Class read from the background",
    help="How often a linear classifier names the class from the cells of the latent map that lie wholly beside the "
    "object. Low is good: what is known there draws prototypes off the object.",
    unit="%",
    higher_is_better=False,
    low=0,
    high=100,
    passes=frozenset({"scores", "cells"}),
    training=frozenset({"cells"}),
    needs=frozenset({"places", "regions", "training_regions"}),
    compute=compute,
)
