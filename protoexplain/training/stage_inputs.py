"""What a stage trains on: the latest values of the network that do not change in it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from protoexplain.data.records import ImageRecord
from protoexplain.models.base import PrototypeModel
from protoexplain.models.stage import BACKBONE, Stage
from protoexplain.training.inputs import Inputs, Kind, cache
from protoexplain.training.trainer import Trainer

_NEED_IMAGES = frozenset({"align", "tanh", "alignment", "reconstruction", "mixed_cross_entropy"})
"""Loss terms that compare two views of a picture, need more of it than the features, or change it."""


def input_kind(trainer: Trainer, stage: Stage, trained: frozenset[str]) -> Kind:
    """Train on the latest values that do not change in this stage."""
    training = trainer.config.training
    if training.cached_views == 0 or training.published_batch_norm:
        return "images"
    if not _NEED_IMAGES.isdisjoint(stage.losses):
        return "images"
    if trained == {"head"} and trainer.model.named_branches():
        return "activations"
    if trained & BACKBONE:
        return "stem" if getattr(trainer.model.backbone, "has_stem", False) else "images"
    return "features"


def make_inputs(
    trainer: Trainer, kind: Kind, records: tuple[ImageRecord, ...], augmented: bool, what: str, shown: int
) -> Inputs:
    """Pictures, or a cache that is filled now.

    Args:
        trainer: Of the stage.
        kind: What its epochs train on.
        records: The images.
        augmented: Whether pictures are changed at random; a cache then holds `training.cached_views` of each.
        what: Name of the work, for people.
        shown: How often each image will be shown; no more views of it are cached.
    """
    pictures = trainer.pictures.inputs(records, augmented)
    if kind == "images" or not records:
        return pictures
    return cache(
        trainer.fabric,
        kind,
        computation(trainer.model, kind, trainer.fabric.device),
        pictures,
        views_of(trainer, shown) if augmented else 1,
        trainer.config.training.batch_size,
        trainer.scratch,
        lambda done, total: trainer.tick(f"{what}: computing {kind}", done, total),
    )


def views_of(trainer: Trainer, shown: int) -> int:
    """How many augmented views of each training image are cached that is shown so often."""
    several = trainer.config.data.augmentation != "none"
    return max(1, min(trainer.config.training.cached_views, shown)) if several else 1


def computation(model: PrototypeModel, kind: Kind, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Pictures [B,3,S,S] -> what a cache of this kind holds of them, on the CPU."""

    def compute(images: Tensor) -> Tensor:
        if kind == "stem":
            return model.backbone.stem(images.to(device)).float().cpu()  # type: ignore[operator]
        features = model.backbone(images.to(device))
        return (features if kind == "features" else model.activations(features)).float().cpu()

    return compute
