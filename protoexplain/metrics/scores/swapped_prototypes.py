"""Swapped prototypes: the accuracy that is lost when random patches take the place of the prototypes.

A linear classifier is fitted to the activations of the training images, for the model's own prototypes and for those
that stand in for them.  Prototypes that can be swapped freely explain nothing.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.observe.swapped import NUMBERS, OTHERS, OWN, PATCHES
from protoexplain.metrics.scores.class_from_background import fit_linear_probe
from protoexplain.metrics.stats.averages import mean, over_images


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Points of accuracy, positive where the own prototypes are better; in the details all accuracies."""
    assert observed.training is not None
    training, tested = observed.training["swapped"], observed.columns["swapped"]
    classes = observed.logits.shape[1]

    def hits(which: str) -> Tensor:
        probe = fit_linear_probe(training[which], training["label"], classes)
        return 100 * (probe.predict(tested[which]) == observed.labels).double()

    right = {name: hits(name) for name in (OWN, PATCHES, NUMBERS, OTHERS) if name in tested}
    return replace(
        over_images(observed, right[OWN] - right[PATCHES]),
        baselines={"prototypes of random numbers": mean(right[NUMBERS] - right[PATCHES]), "no difference": 0.0},
        details={"accuracy": {name: mean(values) for name, values in right.items()}, "chance": 100 / classes},
    )


METRIC = Metric(
    title="Accuracy lost by swapped prototypes",
    help="Points of accuracy that a linear classifier of activations loses when random training patches replace the "
    "prototypes. High is good: where nothing is lost, it does not matter what the prototypes are.",
    unit="%",
    higher_is_better=True,
    low=-100,
    high=100,
    passes=frozenset({"scores", "swapped"}),
    training=frozenset({"swapped"}),
    needs=frozenset({"projection", "training_images"}),
    compute=compute,
)
