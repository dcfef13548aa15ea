"""Pruning of prototypes whose nearest training images mostly show other classes (Chen et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from protoexplain.models.base import PrototypeModel


@torch.inference_mode()
def nearest_labels(model: PrototypeModel, batches: Iterable[tuple[Tensor, Tensor, Tensor]], k: int = 6) -> Tensor:
    """Labels [P,k] of the k nearest images of each prototype (one patch each, any class), nearest first.

    Ties go to the image seen first; -1 fills up where there are fewer images.
    """
    values = labels_of = None
    for images, labels, _ in batches:
        features = model.backbone(images)
        best = torch.cat(
            [
                branch.similarity.best(branch.addon(features), branch.prototypes)[0]
                for _, branch in model.named_branches()
            ],
            1,
        ).T
        own = labels[None].expand(len(best), -1)
        values = best if values is None else torch.cat([values, best], 1)
        labels_of = own if labels_of is None else torch.cat([labels_of, own], 1)
        order = values.argsort(dim=1, descending=True, stable=True)[:, :k]
        values, labels_of = values.gather(1, order), labels_of.gather(1, order)
    if labels_of is None:
        return torch.full((model.num_prototypes, k), -1)
    return torch.nn.functional.pad(labels_of, (0, k - labels_of.shape[1]), value=-1)


def unfaithful(nearest: Tensor, prototype_class: Tensor, threshold: int = 3) -> Tensor:
    """[P]: True where fewer than `threshold` nearest images have the prototype's class; never for shared ones."""
    own = (nearest == prototype_class[:, None]).sum(1)
    return (own < threshold) & (prototype_class >= 0)


def prune(model: PrototypeModel, doomed: Tensor) -> None:
    """Remove the prototypes marked True in [P] from the model, its head included."""
    model.keep((~doomed).nonzero()[:, 0])
