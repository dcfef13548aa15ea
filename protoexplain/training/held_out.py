"""What a trained model makes of held-out images: how often it is right, how sure it may be, what it does not know."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from protoexplain.data.records import ImageRecord
from protoexplain.models.base import PrototypeModel
from protoexplain.models.calibration import calibrate
from protoexplain.progress import Progress
from protoexplain.training.trainer import Trainer

_BINS = 15


def class_scores(trainer: Trainer, records: tuple[ImageRecord, ...]) -> tuple[Tensor, Tensor]:
    """Scores [N,C] and labels [N] of clean pictures."""
    model = trainer.model.eval()
    return computed(trainer, records, lambda images: model(images).logits, model.classes)


@torch.no_grad()
def computed(
    trainer: Trainer,
    records: tuple[ImageRecord, ...],
    compute: Callable[[Tensor], Tensor],
    width: int,
    progress: Progress = lambda done, total: None,
) -> tuple[Tensor, Tensor]:
    """Numbers [N,width] that are computed from clean pictures, and labels [N], on the CPU; each process computes all.

    Args:
        trainer: Its pictures and device.
        records: N of them.
        compute: Pictures [B,3,S,S] on the device -> [B,width].
        width: Of the result, which there may be no picture to tell.
        progress: Told (done, total) in pictures.
    """
    inputs, found, done = trainer.pictures.inputs(records, augmented=False), [torch.empty(0, width)], 0
    for batch in inputs.epoch(0, range(len(records)), trainer.config.training.batch_size):
        found.append(compute(trainer.fabric.to_device(batch.values)).float().cpu())
        done += len(batch.labels)
        progress(done, len(records))
    return torch.cat(found), torch.tensor([record.label for record in records], dtype=torch.long)


def calibrate_model(
    model: PrototypeModel, validation: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]
) -> dict[str, Any]:
    """Let a model know its temperature and thresholds, and say what the temperature does to the test images.

    Args:
        model: Knows them from now on.
        validation: Class scores [N,C] and labels [N] of images that it was not trained on.
        test: The same of the test images, which decide nothing.

    Returns:
        Temperature, number of images, and the calibration errors before and after in [0, 1]; empty without images.
    """
    before = _calibration_error(model, test)
    model.calibration = calibrate(*validation, model.score_unit)
    if model.calibration is None:
        return {}
    after = _calibration_error(model, test)
    return {
        "temperature": model.calibration.temperature,
        "held_out_images": model.calibration.images,
        "test_error_before": before,
        "test_error_after": after,
    }


def _calibration_error(model: PrototypeModel, scored: tuple[Tensor, Tensor]) -> float:
    """Expected calibration error in 15 bins of confidence, NaN without images."""
    from torchmetrics.functional.classification import multiclass_calibration_error

    scores, labels = scored
    if not len(labels):
        return math.nan
    probabilities = model.probabilities(scores)
    return float(multiclass_calibration_error(probabilities, labels, scores.shape[1], n_bins=_BINS))
