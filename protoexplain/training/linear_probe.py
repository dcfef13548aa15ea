"""A linear probe: what the features of the backbone tell about the classes before anything is trained.

It takes seconds, and a model that is worse than it has learned nothing that is worth its prototypes.
N images, D channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from protoexplain.data.records import ImageRecord
from protoexplain.training.held_out import computed
from protoexplain.training.trainer import Trainer

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


def probe_run(trainer: Trainer) -> dict[str, Any] | None:
    """Probe the backbone of a run as it is now, tell the watcher, and give what to keep of it as JSON values.

    None where there are too few images, and of pixels without a network, whose mean is but a colour.
    """
    if next(trainer.model.backbone.parameters(), None) is None:
        return None
    found = linear_probe(_mean_features(trainer, trainer.data.train), _mean_features(trainer, trainer.data.validation))
    if found is None:
        return None
    how = f"cross-validated over {found.images} images" if found.folds else f"of {found.images} held-out images"
    trainer.callbacks.watcher.line(f"a linear probe on the backbone as it is: {found.accuracy:.1%} {how}")
    return asdict(found)


def compared_with_probe(metrics: Mapping[str, Any]) -> str | None:
    """A sentence where a trained model is worse than the probe, None elsewhere.

    Args:
        metrics: Of the run, with what `probe_run` gave as ``linear_probe``.
    """
    probe = metrics.get("linear_probe")
    if not probe:
        return None
    reached = metrics["test_accuracy" if probe["folds"] else "validation_accuracy"]
    if not reached < probe["accuracy"]:
        return None
    return (
        f"a linear probe on the backbone without any training is better ({probe['accuracy']:.1%}, this model"
        f" {reached:.1%}): more images, another backbone or fewer epochs may help"
    )


def _mean_features(trainer: Trainer, records: tuple[ImageRecord, ...]) -> tuple[Tensor, Tensor]:
    """Features [N,D], averaged over the cells of the map, and labels [N]."""
    backbone = trainer.model.backbone.eval()
    return computed(
        trainer,
        records,
        lambda images: backbone(images).flatten(2).mean(2),
        int(backbone.channels),  # type: ignore[arg-type]
        lambda done, total: trainer.callbacks.watcher.progress("linear probe", done, total),
    )


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
