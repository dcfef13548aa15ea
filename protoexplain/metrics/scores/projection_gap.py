"""What projection costs: accuracy with the prototypes from before projection, minus accuracy with the written ones."""

from __future__ import annotations

from dataclasses import replace

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import mean, over_images


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Mean over images of (right before) - (right after); all but the prototypes is as in the checkpoint."""
    before = observed.columns["unprojected"]["logits"].argmax(1) == observed.labels
    return replace(
        over_images(observed, before.double() - observed.correct.double()),
        details={"before": mean(before.double()), "after": mean(observed.correct.double())},
    )


METRIC = Metric(
    title="Projection gap",
    help="Accuracy lost by replacing learned prototypes with real training patches. Low is good; published accuracies "
    "are often those before. The last layer was fitted to the patches, so a negative gap is possible.",
    higher_is_better=False,
    low=-1,
    passes=frozenset({"scores", "unprojected"}),
    needs=frozenset({"projection"}),
    compute=compute,
)
