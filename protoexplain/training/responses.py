"""How the training images respond to the prototypes of a model: which are nearest to each, and what is usual for it.

All comes from one pass over the images, or over latent maps that were made before.  P prototypes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from protoexplain.models.activation_statistics import ActivationStatistics, RunningStatistics
from protoexplain.models.base import PrototypeModel
from protoexplain.models.nearest import Nearest
from protoexplain.training.projection import LatentBatch
from protoexplain.training.prune import K


@dataclass(frozen=True)
class Responses:
    """Of the training images without augmentation.

    Args:
        nearest: Labels [P,k], on the CPU, of the k images nearest to each prototype (one patch each, any class),
            nearest first.  Ties go to the image seen first; -1 fills up where there are fewer images.
        statistics: Usual activations and their range.
    """

    nearest: Tensor
    statistics: ActivationStatistics


@torch.no_grad()
def responses(model: PrototypeModel, batches: Iterable[LatentBatch], images: int, k: int = K) -> Responses:
    """Gather them over batches of latent maps.

    Args:
        model: In eval mode; needs no backbone.
        batches: Of all training images, at least one.
        images: Their number.
        k: Nearest images of each prototype.
    """
    nearest, running = Nearest(k, model.num_prototypes), RunningStatistics(images)
    branches = [branch for _, branch in model.named_branches()]
    for latents, labels, indices in batches:
        pairs = [(branch, z, branch.prototypes) for branch, z in zip(branches, latents, strict=True)]
        best = [branch.similarity.best(z, prototypes)[0] for branch, z, prototypes in pairs]
        nearest.update(torch.cat(best, 1), indices, labels)
        running.update([branch.activation_maps(branch.similarity.maps(z, own)) for branch, z, own in pairs])
    return Responses(nearest.patches().label.cpu(), running.statistics())
