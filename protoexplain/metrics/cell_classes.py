"""How well a linear classifier reads the class of an image from single cells of its maps.

Ridge regression on one-hot classes, fitted to cells of training images and asked about cells of test images.  n cells,
D numbers in a cell, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from protoexplain.metrics.averages import counted, mean, over_images
from protoexplain.metrics.base import Score
from protoexplain.metrics.cells import FEATURES, FROZEN, LATENT
from protoexplain.metrics.observations import Columns, Observations

PENALTY = 0.01
"""Of the squared weights, for inputs of variance one and the mean squared error."""
UNTRAINED = "backbone before training"
_NO_CELL = "images without such a cell"


@dataclass(frozen=True)
class LinearReader:
    """Reads classes from vectors.

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

    def classes(self, vectors: Tensor) -> Tensor:
        """int64 [n] of the vectors [n,D]."""
        return (((vectors.double() - self.mean) / self.deviation) @ self.weights + self.bias).argmax(1)


def fitted(vectors: Tensor, labels: Tensor, classes: int) -> LinearReader:
    """The closed form in float64, from vectors [n,D] and labels [n]; a number that never varies is left out."""
    exact = vectors.double()
    centre, deviation = exact.mean(0), exact.std(0, correction=0)
    deviation = torch.where(deviation > 0, deviation, 1)
    inputs = (exact - centre) / deviation
    wanted = torch.nn.functional.one_hot(labels, classes).double()
    bias = wanted.mean(0)
    penalty = PENALTY * len(inputs) * torch.eye(inputs.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ (wanted - bias))
    return LinearReader(centre, deviation, weights, bias)


def cells_read(training: Columns, tested: Columns, which: str, kind: int, classes: int) -> Tensor:
    """float64 [N]: percent of the cells of each test image whose class is read rightly.

    NaN for images without such a cell, and for all where no training image has one.

    Args:
        training: Columns of the pass `Cells` over training images.
        tested: The same over test images.
        which: Name of the map.
        kind: ``BACKGROUND`` or ``OBJECT``.
        classes: Number C.
    """
    there, found = training[f"{which} found"][:, kind], tested[f"{which} found"][:, kind]
    result = torch.full((len(found),), torch.nan, dtype=torch.float64)
    if not there.any():
        return result
    owner = training["label"][:, None].expand_as(there)
    reader = fitted(training[which][:, kind][there], owner[there], classes)
    right = torch.zeros(found.shape, dtype=torch.float64)
    right[found] = (
        reader.classes(tested[which][:, kind][found]) == tested["label"][:, None].expand_as(found)[found]
    ).double()
    some = found.any(1)
    result[some] = 100 * right[some].sum(1) / found[some].sum(1)
    return result


def cell_class_score(seen: Observations, kind: int) -> Score:
    """Mean over images of the percent of latent cells of a kind whose class is read rightly.

    Beside it the same of the backbone before it was trained, where its weights are at hand; in the details that of
    the trained backbone's features.
    """
    assert seen.training is not None
    training, tested = seen.training["cells"], seen.columns["cells"]
    classes = seen.logits.shape[1]

    def read(which: str) -> Tensor:
        return cells_read(training, tested, which, kind, classes)

    values = read(LATENT)
    lost = len(values) - counted(values)
    return replace(
        over_images(seen, values, {_NO_CELL: lost} if lost else {}),
        baselines={UNTRAINED: mean(read(FROZEN))} if FROZEN in training else {},
        details={
            "of_the_backbone_features": mean(read(FEATURES)),
            "chance": 100 / classes,
            "training_images": len(training["label"]),
            "training_cells": int(training[f"{LATENT} found"][:, kind].sum()),
            "test_cells": int(tested[f"{LATENT} found"][:, kind].sum()),
        },
    )
