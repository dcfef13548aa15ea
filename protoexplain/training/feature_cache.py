"""What a model sees in the clean pictures of a split, kept after one pass: latent maps and best similarities.

The network stays as it is while prototypes are projected, removed or edited, so whatever becomes of prototypes costs
no further pass.  Latent maps lie in a file, and in memory only while they are looked at.
N pictures, P prototypes, D channels, H x W cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from protoexplain.data.records import ImageRecord
from protoexplain.io.scratch import ScratchTensor
from protoexplain.models.base import Branch, PrototypeModel
from protoexplain.models.precision import all_digits
from protoexplain.training.inputs import CachedInputs, ImageInputs
from protoexplain.training.projection import LatentBatch

_AT_ONCE = 256


@dataclass(frozen=True)
class FeatureCache:
    """Of one split, on the CPU.

    Args:
        images: N of them.
        labels: [N].
        latents: Branch -> float32 [N,D,H,W]; empty without pictures.
        similarity: [N,P] of each prototype's best patch, when the pictures were looked at.
    """

    images: tuple[ImageRecord, ...]
    labels: Tensor
    latents: Mapping[str, ScratchTensor]
    similarity: Tensor

    def best(self, branch_name: str, branch: Branch, prototypes: Tensor) -> Tensor:
        """Similarity [N,p] of the best patches to other prototypes [p,D,h,w] of a branch."""
        latent = self.latents[branch_name]
        parts = (latent[start : start + _AT_ONCE] for start in range(0, len(latent), _AT_ONCE))
        return torch.cat([branch.similarity.best(part.to(prototypes), prototypes)[0].cpu() for part in parts]).detach()

    def similarity_to(self, model: PrototypeModel) -> Tensor:
        """[N,P] of each prototype's best patch, to the prototypes that the model has now."""
        if not self.latents:
            return torch.empty(0, model.num_prototypes)
        best = [self.best(name, branch, branch.prototypes.detach()) for name, branch in model.named_branches()]
        return torch.cat(best, 1)

    def batches(self, device: torch.device) -> Iterator[LatentBatch]:
        """The pictures once more, as a search of patches takes them."""
        indices = torch.arange(len(self.images))
        for start in range(0, len(indices), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            latents = [latent[rows].to(device) for latent in self.latents.values()]
            yield latents, self.labels[rows].to(device), indices[rows].to(device)


@torch.no_grad()
def activations_of(model: PrototypeModel, similarity: Tensor, training: bool = False) -> Tensor:
    """Activations [N,P], on the CPU, from best similarities [N,P]; `training` leaves out what the family does at
    inference only.  The model is in eval mode afterwards."""
    model.train(training)
    parts = similarity.split(model.branch_sizes(), 1)
    found = [branch.activation(part) for (_, branch), part in zip(model.named_branches(), parts, strict=True)]
    model.eval()
    return torch.cat(found, 1)


@torch.no_grad()
def scores_of(model: PrototypeModel, similarity: Tensor) -> Tensor:
    """Class scores [N,C], on the CPU, from best similarities [N,P]."""
    activations = activations_of(model, similarity).to(next(model.parameters()).device)
    return model.from_activations(activations).logits.cpu()


def accuracy_of(model: PrototypeModel, similarity: Tensor, labels: Tensor) -> float:
    """Share of right predictions from best similarities [N,P]; NaN without pictures."""
    return share_right(scores_of(model, similarity), labels)


def share_right(scores: Tensor, labels: Tensor) -> float:
    """Share of class scores [N,C] that are largest at the label [N]; NaN without pictures."""
    return int((scores.argmax(1) == labels).sum()) / len(labels) if len(labels) else math.nan


def balanced_share_right(scores: Tensor, labels: Tensor) -> float:
    """Mean over the classes that occur of the share of their pictures that `share_right` counts; NaN without any."""
    shares = [share_right(scores[labels == label], labels[labels == label]) for label in labels.unique()]
    return sum(shares) / len(shares) if shares else math.nan


def head_inputs(model: PrototypeModel, similarity: Tensor, labels: Tensor, training: bool) -> CachedInputs:
    """What a stage of the head alone trains on, or is validated on, from best similarities [N,P]."""
    return CachedInputs("activations", (activations_of(model, similarity, training)[None],), labels)


@all_digits()
@torch.no_grad()
def compute_features(
    model: PrototypeModel,
    pictures: ImageInputs,
    device: torch.device,
    batch_size: int,
    progress: Callable[[int, int], object],
) -> FeatureCache:
    """Run the network over all pictures of a data set once.

    Args:
        model: In eval mode, on the device.
        pictures: Without random changes.
        device: Where the model is.
        batch_size: Pictures per step.
        progress: Told (done, total) in pictures.

    Raises:
        UserError: A picture cannot be read, or the disk is too full.
    """
    images, done = pictures.dataset.records, 0
    latents: dict[str, ScratchTensor] = {}
    similarity = torch.empty(len(images), model.num_prototypes)
    for batch in pictures.loader.batches(pictures.dataset, range(len(images)), batch_size):
        features = model.backbone(batch.images[:, 0].to(device))
        rows, best = slice(done, done + len(batch.labels)), []
        for name, branch in model.named_branches():
            z = branch.addon(features)
            best.append(branch.similarity.best(z, branch.prototypes)[0])
            if name not in latents:
                latents[name] = ScratchTensor((len(images), *z.shape[1:]), "latent maps")
            latents[name][rows] = z.float().cpu()
        similarity[rows] = torch.cat(best, 1).float().cpu()
        done = rows.stop
        progress(done, len(images))
    labels = torch.tensor([image.label for image in images], dtype=torch.long)
    return FeatureCache(images, labels, latents, similarity)
