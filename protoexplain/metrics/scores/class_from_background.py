"""Class from the background: how much of the class the cells know that show nothing of the object.

A cell sees far more of the image than it lies on.  What a linear classifier reads from the latent cells that lie
wholly beside the object has leaked there, and a prototype may answer to it anywhere.

The classifier is a linear probe: ridge regression on one-hot classes, fitted to training images; an image is the mean
vector of its cells.  n images, D numbers in a cell, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.cells import BACKGROUND, FEATURES, FROZEN, LATENT
from protoexplain.metrics.observe.observations import Columns, Observations
from protoexplain.metrics.stats.averages import counted, mean, over_images

PENALTY = 0.01
"""Of the squared weights, for inputs of variance one and the mean squared error."""
UNTRAINED = "backbone before training"
_NO_CELL = "images without such a cell, or whose object is not known"


@dataclass(frozen=True)
class BackgroundProbe:
    """A linear classifier of mean vectors of cells, by ridge regression.

    Args:
        mean: [D] of the vectors that it was fitted to.
        deviation: [D].
        weights: [D,C].
        bias: [C].
    """

    mean: Tensor
    deviation: Tensor
    weights: Tensor
    bias: Tensor

    def predict(self, vectors: Tensor) -> Tensor:
        """Classes int64 [n] of the vectors [n,D]."""
        return (((vectors.double() - self.mean) / self.deviation) @ self.weights + self.bias).argmax(1)


def fit_linear_probe(vectors: Tensor, labels: Tensor, classes: int) -> BackgroundProbe:
    """The closed form in float64, from vectors [n,D] and labels [n]; a number that never varies is left out."""
    exact = vectors.double()
    centre, deviation = exact.mean(0), exact.std(0, correction=0)
    deviation = torch.where(deviation > 0, deviation, 1)
    inputs = (exact - centre) / deviation
    wanted = torch.nn.functional.one_hot(labels, classes).double()
    bias = wanted.mean(0)
    penalty = PENALTY * len(inputs) * torch.eye(inputs.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ (wanted - bias))
    return BackgroundProbe(centre, deviation, weights, bias)


def probe_hits(training: Columns, tested: Columns, which: str, kind: int, classes: int) -> Tensor:
    """float64 [N]: 100 for test images whose class is read rightly, else 0.

    NaN for images without such a cell, and for all where no training image has one.

    Args:
        training: Columns of the pass `Cells` over training images.
        tested: The same over test images.
        which: Name of the map.
        kind: ``BACKGROUND`` or ``OBJECT``.
        classes: Number C.
    """
    learnt, asked = (columns[f"{which} found"][:, kind] for columns in (training, tested))
    if not learnt.any():
        return torch.full(asked.shape, torch.nan, dtype=torch.float64)
    probe = fit_linear_probe(training[which][learnt, kind], training["label"][learnt], classes)
    right = probe.predict(tested[which][:, kind]) == tested["label"]
    return 100 * right.double().masked_fill(~asked, torch.nan)


def linear_probe_score(observed: Observations, kind: int) -> Score:
    """Percent of test images whose class is read rightly from the latent cells of a kind.

    Beside it the same of the backbone before it was trained, where its weights are at hand; in the details that of
    the trained backbone's features.
    """
    assert observed.training is not None
    training, tested = observed.training["cells"], observed.columns["cells"]
    classes = observed.logits.shape[1]

    def read(which: str) -> Tensor:
        return probe_hits(training, tested, which, kind, classes)

    values = read(LATENT)
    lost = len(values) - counted(values)
    return replace(
        over_images(observed, values, {_NO_CELL: lost}),
        baselines={UNTRAINED: mean(read(FROZEN))} if FROZEN in training else {},
        details={
            "of_the_backbone_features": mean(read(FEATURES)),
            "chance": 100 / classes,
            "training_images": int(training[f"{LATENT} found"][:, kind].sum()),
        },
    )


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Percent of the test images whose class a linear probe reads from the cells beside the object."""
    return linear_probe_score(observed, BACKGROUND)


METRIC = Metric(
    title="Class read from the background",
    help="How often a linear classifier names the class from the cells of the latent map that lie wholly beside the "
    "object. Low is good: what is known there draws prototypes off the object.",
    unit="%",
    higher_is_better=False,
    high=100,
    passes=frozenset({"scores", "cells"}),
    training=frozenset({"cells"}),
    needs=frozenset({"places", "regions", "training_regions"}),
    compute=compute,
)
