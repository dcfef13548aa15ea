"""Pruning of prototypes whose nearest training images mostly show other classes (Chen et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from protoexplain.models.base import PrototypeModel
from protoexplain.models.contract import Ownership
from protoexplain.models.nearest import Nearest

K = 6
"""Nearest training images that are looked at."""


def nearest_of(similarity: Tensor, labels: Tensor, k: int = K) -> Tensor:
    """Labels [P,k] as of `Responses`, from the best similarities [N,P] of images with labels [N]."""
    nearest = Nearest(k, similarity.shape[1])
    nearest.update(similarity, torch.arange(len(labels)), labels)
    return nearest.patches().label


def unfaithful(nearest: Tensor, ownership: Ownership, threshold: int = 3) -> Tensor:
    """[P]: True where fewer than `threshold` nearest images have a class of the prototype; never for those of all."""
    owned = ownership.owned.to(nearest.device)
    own = (owned.gather(1, nearest.clamp_min(0)) & (nearest >= 0)).sum(1)
    return (own < threshold) & ~ownership.shared_by_all.to(nearest.device)


def prune(model: PrototypeModel, to_prune: Tensor) -> None:
    """Remove the prototypes marked True in [P] from the model, its head included."""
    model.select((~to_prune).nonzero()[:, 0])
