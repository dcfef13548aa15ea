"""Pruning of prototypes whose nearest training images mostly show other classes (Chen et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from protoexplain.explain.nearest import Nearest
from protoexplain.models.base import PrototypeModel

K = 6
"""Nearest images that are looked at."""


def nearest_of(similarity: Tensor, labels: Tensor, k: int = K) -> Tensor:
    """Labels [P,k] as `nearest_labels`, from the best similarities [N,P] of images with labels [N]."""
    nearest = Nearest(k, similarity.shape[1])
    nearest.update(similarity, torch.arange(len(labels)), labels)
    return nearest.patches().label


@torch.inference_mode()
def nearest_labels(model: PrototypeModel, batches: Iterable[tuple[Tensor, Tensor, Tensor]], k: int = K) -> Tensor:
    """Labels [P,k], on the CPU, of the k nearest images of each prototype (one patch each, any class), nearest first.

    Ties go to the image seen first; -1 fills up where there are fewer images.
    """
    nearest = Nearest(k, model.num_prototypes)
    for images, labels, indices in batches:
        features = model.backbone(images)
        best = [
            branch.similarity.best(branch.addon(features), branch.prototypes)[0] for _, branch in model.named_branches()
        ]
        nearest.update(torch.cat(best, 1), indices, labels)
    return nearest.patches().label.cpu()


def unfaithful(nearest: Tensor, prototype_class: Tensor, threshold: int = 3) -> Tensor:
    """[P]: True where fewer than `threshold` nearest images have the prototype's class; never for shared ones."""
    own = (nearest == prototype_class[:, None]).sum(1)
    return (own < threshold) & (prototype_class >= 0)


def prune(model: PrototypeModel, doomed: Tensor) -> None:
    """Remove the prototypes marked True in [P] from the model, its head included."""
    model.keep((~doomed).nonzero()[:, 0])
