"""A model with other prototypes in place of its own: random patches of images, or random numbers.

If its activations tell the classes as well as before, it does not matter what its prototypes are, and they explain
nothing.  n images, P prototypes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from protoexplain.data.loading import ImageDataset, batches
from protoexplain.metrics.observe.passes import Chunk
from protoexplain.metrics.stats.randomness import seed_of
from protoexplain.models.base import PrototypeModel
from protoexplain.models.similarity import Similarity, patches_of

OWN, PATCHES, NUMBERS, OTHERS = "own", "random patches", "random numbers", "patches of other images"
_IMAGES, _BATCH = 64, 16
"""Images that patches are taken from."""


@dataclass(frozen=True)
class Swapped:
    """Activations [n,P] of the model's own prototypes and of those that stand in for them, and the labels [n]."""

    seed: int
    name: str = "swapped"
    cost = 2

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        models = {OWN: chunk.model, **chunk.swapped}
        return {"label": chunk.labels, **{name: one.activations(chunk.features) for name, one in models.items()}}


@torch.no_grad()
def swapped_models(model: PrototypeModel, sources: Mapping[str, ImageDataset], seed: int) -> dict[str, PrototypeModel]:
    """Copies of a model with other prototypes, which share its backbone.

    Args:
        model: In eval mode.
        sources: Name -> images whose patches stand in.
        seed: Of the draws.
    """
    found = {NUMBERS: _with_numbers(model, seed)}
    for name, images in sources.items():
        found[name] = _with_patches(model, images, seed)
    return found


def _copied(model: PrototypeModel) -> PrototypeModel:
    """A copy with branches of its own."""
    return copy.deepcopy(model, {id(model.backbone): model.backbone})


def _generator(seed: int, purpose: str) -> torch.Generator:
    return torch.Generator().manual_seed(seed_of(seed, purpose, ""))


def _with_numbers(model: PrototypeModel, seed: int) -> PrototypeModel:
    """Normal numbers with the mean and deviation of the prototypes."""
    other, generator = _copied(model), _generator(seed, "numbers for prototypes")
    for _, branch in other.named_branches():
        own = branch.prototypes.detach().cpu()
        drawn = own.mean() + own.std() * torch.randn(own.shape, generator=generator)
        branch.prototypes.data = _written(branch.similarity, drawn).to(branch.prototypes)
    return other


def _with_patches(model: PrototypeModel, images: ImageDataset, seed: int) -> PrototypeModel:
    other, generator = _copied(model), _generator(seed, "patches for prototypes")
    order = torch.randperm(len(images), generator=generator)[:_IMAGES].tolist()
    device = next(model.parameters()).device
    features = [model.backbone(batch.images[:, 0].to(device)) for batch in batches(images, order, _BATCH)]
    for _, branch in other.named_branches():
        own = branch.prototypes
        patches = torch.cat([patches_of(branch.addon(some), own).transpose(1, 2).flatten(0, 1) for some in features])
        chosen = torch.randint(len(patches), (len(own),), generator=generator).to(device)
        branch.prototypes.data = _written(branch.similarity, patches[chosen].view(own.shape)).to(own)
    return other


def _written(similarity: Similarity, prototypes: Tensor) -> Tensor:
    """As projection would write patches [P,D,h,w]."""
    return similarity.prototypes_from(prototypes.flatten(1)).view(prototypes.shape)
