"""A linear probe: what the features of the backbone tell about the classes before anything is trained.

It takes seconds, and a model that is worse than it has learned nothing that is worth its prototypes.
N images, D channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

ENOUGH_IMAGES = 100
"""With fewer held-out images the accuracy is cross-validated over all images that may be trained on."""
_FOLDS = 5
_PENALTIES = tuple(np.logspace(-1, 5, 13))


@dataclass(frozen=True)
class LinearProbe:
    """How good a ridge classifier on mean features is.

    Args:
        accuracy: In [0, 1].
        images: Number of images that it was tested on.
        folds: Of the cross-validation; 0 where the images were held out.
    """

    accuracy: float
    images: int
    folds: int = 0


def linear_probe(train: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor]) -> LinearProbe | None:
    """Fit and test it.

    Args:
        train: Mean features [N,D] and labels [N] of the training images.
        held_out: The same of the validation images, which may be none.

    Returns:
        None where there are too few images of a class for a cross-validation, or less than two classes.
    """
    (x, y), (x_held, y_held) = (tuple(t.cpu().numpy() for t in part) for part in (train, held_out))
    if len(np.unique(y)) < 2:
        return None
    if len(y_held) >= ENOUGH_IMAGES:
        return LinearProbe(float(_classifier().fit(x, y).score(x_held, y_held)), len(y_held))
    everything, labels = np.concatenate([x, x_held]), np.concatenate([y, y_held])
    folds = min(_FOLDS, int(np.unique(labels, return_counts=True)[1].min()))
    if folds < 2:
        return None
    splits = StratifiedKFold(folds, shuffle=True, random_state=0)
    scores = cross_val_score(_classifier(), everything, labels, cv=splits)
    return LinearProbe(float(scores.mean()), len(labels), folds)


def _classifier() -> Pipeline:
    return make_pipeline(StandardScaler(), RidgeClassifierCV(_PENALTIES))
