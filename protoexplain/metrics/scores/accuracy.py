"""Accuracy of the predictions that are explained."""

from __future__ import annotations

from dataclasses import replace

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import over_images


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Share of images whose best class is right."""
    classes = observed.logits.shape[1]
    top5 = (observed.logits.topk(min(5, classes)).indices == observed.labels[:, None]).any(1)
    return replace(
        over_images(observed, observed.correct.double()),
        baselines={"chance": 1 / classes},
        details={"top5": float(top5.double().mean())},
    )


METRIC = Metric(
    title="Accuracy",
    help="Share of test images whose class is predicted. High is good.",
    higher_is_better=True,
    passes=frozenset({"scores"}),
    compute=compute,
)
