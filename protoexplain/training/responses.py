"""How the training images respond to the prototypes of a model: which are nearest to each, and what is usual for it.

All comes from one pass over the images, or over latent maps that were made before.  P prototypes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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


class RunningResponses:
    """Gathers responses while batches of latent maps pass by, as in a search for patches.

    Args:
        model: In eval mode; needs no backbone.
        k: Nearest images of each prototype.
    """

    def __init__(self, model: PrototypeModel, k: int = K) -> None:
        self._branches = [branch for _, branch in model.named_branches()]
        self._nearest, self._statistics = Nearest(k, model.num_prototypes), RunningStatistics()

    @torch.no_grad()
    def update(self, batch: LatentBatch) -> None:
        """Count a batch in."""
        latents, labels, indices = batch
        pairs = [(branch, z, branch.prototypes) for branch, z in zip(self._branches, latents, strict=True)]
        best = [branch.similarity.best(z, prototypes)[0] for branch, z, prototypes in pairs]
        self._nearest.update(torch.cat(best, 1), indices, labels)
        self._statistics.update([branch.activation_maps(branch.similarity.maps(z, own)) for branch, z, own in pairs])

    def passing(self, batches: Iterable[LatentBatch]) -> Iterator[LatentBatch]:
        """The same batches, each counted in when it is taken."""
        for batch in batches:
            self.update(batch)
            yield batch

    def responses(self) -> Responses:
        """Of all training images so far, at least one batch."""
        return Responses(self._nearest.patches().label.cpu(), self._statistics.statistics())


def responses(model: PrototypeModel, batches: Iterable[LatentBatch], k: int = K) -> Responses:
    """The responses to batches of latent maps; arguments as of `RunningResponses`."""
    running = RunningResponses(model, k)
    for batch in batches:
        running.update(batch)
    return running.responses()
