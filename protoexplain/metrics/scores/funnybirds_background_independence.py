"""Background independence of FunnyBirds: does the model do without the objects behind the bird? (Hesse et al. 2023)

One minus the share of the objects of all images without which the score of the true class falls by at least 5 %; a
property of the model alone.
"""

from __future__ import annotations

import numpy as np

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import interval_of
from protoexplain.metrics.stats.bootstrap import ratio
from protoexplain.metrics.stats.part_scores import parts_of_classes, relevant_items


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Over all objects of all images; beside it in the details the same of the parts of the bird."""
    count = len(parts_of_classes(observed).names)
    needed, there = relevant_items(observed)
    free = there & ~needed
    rows = np.stack([free[:, count:].sum(1), there[:, count:].sum(1)], 1).astype(float)
    parts = float(free[:, :count].sum() / there[:, :count].sum())
    used = int((rows[:, 1] > 0).sum())
    return Score(
        ratio(rows.sum(0)[None])[0].item(),
        *interval_of(observed, rows, ratio),
        n_used=used,
        over="images",
        excluded={"images without objects": len(rows) - used} if used < len(rows) else {},
        details={"objects": int(rows[:, 1].sum()), "of_the_parts": parts},
    )


METRIC = Metric(
    title="FunnyBirds: background independence",
    help="Share of the objects in the background without which the score of the class hardly falls. High is good: the "
    "answer is about the bird.",
    higher_is_better=True,
    passes=frozenset({"scores", "without"}),
    needs=frozenset({"interventions"}),
    compute=compute,
)
