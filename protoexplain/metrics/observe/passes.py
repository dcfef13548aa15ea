"""The passes over the test images: what each records of a chunk of n images.

Passes of one chunk share its pictures and the features of the clean pictures.  A pass is a frozen dataclass, so that
its representation names all that its numbers depend on.  K prototypes of an image's class, S the side of the input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from protoexplain.data.geometry import Geometry
from protoexplain.data.interventions import Interventions
from protoexplain.data.records import ImageRecord
from protoexplain.metrics.observe.changed_images import ChangedImages
from protoexplain.metrics.observe.model_description import ModelDescription
from protoexplain.metrics.observe.noise import fill_with_noise
from protoexplain.metrics.observe.peaks import peaks
from protoexplain.metrics.stats.randomness import seed_of
from protoexplain.models.base import PrototypeModel, PrototypeOutput
from protoexplain.progress import ShareProgress, no_progress
from protoexplain.regions.boxes import upsample


@dataclass
class Chunk:
    """A batch of images that all passes share.

    Args:
        model: In eval mode.
        description: Of the model.
        images: float [n,3,S,S] in [0, 1], on the model's device.
        labels: int64 [n], on the CPU.
        records: Of the images.
        geometries: How the images became inputs.
        before: The model with its prototypes from before projection, where there are such.
        frozen: The backbone as it was before the training, where its weights are at hand.
        interventions: Images without parts, where the data set has such.
        swapped: Copies of the model with other prototypes, by what stands in for its own.
        tell: Told by passes that take long which share of them is done.
    """

    model: PrototypeModel
    description: ModelDescription
    images: Tensor
    labels: Tensor
    records: Sequence[ImageRecord]
    geometries: Sequence[Geometry]
    before: PrototypeModel | None = None
    frozen: nn.Module | None = None
    interventions: Interventions | None = None
    swapped: Mapping[str, PrototypeModel] = field(default_factory=dict)
    tell: ShareProgress = no_progress

    @cached_property
    def features(self) -> Tensor:
        return self.model.backbone(self.images)

    @cached_property
    def output(self) -> PrototypeOutput:
        return self.model.from_features(self.features)

    @cached_property
    def own_peaks(self) -> Tensor:
        """int16 [n,K,2] peaks (y, x) of the prototypes of each image's class."""
        return own_peaks(self.model, self.description, self.features, self.labels)

    @cached_property
    def heat(self) -> Tensor:
        """[n,h,w]: mean activation map of the prototypes of each image's class, over branches and their prototypes.

        It has the finest of their maps' sizes; coarser maps are upsampled to it.
        """
        extent, weights = self.description.finest_map, self.description.heat_weights()[self.labels].to(self.features)
        heat = self.features.new_zeros(len(self.labels), *extent)
        for own in own_maps(self.model, self.description, self.features, self.labels, activated=True):
            mean = torch.einsum("nk,nkhw->nhw", weights, own.maps)
            heat += mean if mean.shape[1:] == extent else upsample(mean, *extent)
        return heat

    @cached_property
    def changed(self) -> ChangedImages:
        """The images without parts."""
        assert self.interventions is not None
        logits = self.output.logits
        return ChangedImages(
            self.model, self.description, self.interventions, self.images, logits, self.records, self.geometries
        )

    @property
    def ids(self) -> list[str]:
        return [record.id for record in self.records]


class Pass(Protocol):
    """One pass over the images."""

    @property
    def name(self) -> str:
        """In the table of observations; ``kind/variant`` where there are several of a kind."""

    @property
    def cost(self) -> int:
        """Forward passes of one image, more or less; for the progress alone."""

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        """Columns [n,...] of finite numbers."""


@dataclass(frozen=True)
class OwnMaps:
    """Maps of one size, of the K prototypes that each image's class is measured by.

    Args:
        maps: [n,K,h,w]; 0 where it is not `present`.
        present: bool [n,K], False where the map of a prototype has another size, and for padding.
    """

    maps: Tensor
    present: Tensor


def own_peaks(model: PrototypeModel, description: ModelDescription, features: Tensor, labels: Tensor) -> Tensor:
    """Peaks int16 [n,K,2], (y, x), of the similarity maps that `own_maps` gives; (0, 0) for padding."""
    found = torch.zeros(len(labels), description.assigned.shape[1], 2, dtype=torch.int16)
    for own in own_maps(model, description, features, labels):
        found[own.present] = peaks(own.maps[own.present.to(own.maps.device)], description.size).short()
    return found


def own_maps(
    model: PrototypeModel, description: ModelDescription, features: Tensor, labels: Tensor, activated: bool = False
) -> list[OwnMaps]:
    """Similarity maps of the prototypes that each image's class is measured by, one entry for each size of maps.

    Args:
        model: In eval mode.
        description: Says which prototypes these are.
        features: [n,D,h',w'].
        labels: int64 [n].
        activated: Maps in units of the activation instead.
    """
    found: dict[tuple[int, ...], OwnMaps] = {}
    slots_of = len(labels), description.assigned.shape[1]
    start = 0
    for _, branch in model.named_branches():
        z, size = branch.addon(features), len(branch.prototypes)
        for label in labels.unique().tolist():
            owned = description.assigned[label]
            slots = torch.nonzero((owned >= start) & (owned < start + size)).flatten()
            if len(slots):
                rows = torch.nonzero(labels == label).flatten()
                own = (owned[slots] - start).to(z.device)
                maps = branch.similarity.maps(z[rows.to(z.device)], branch.prototypes[own])
                extent = tuple(maps.shape[2:])
                if extent not in found:
                    nothing = torch.zeros(slots_of, dtype=torch.bool)
                    found[extent] = OwnMaps(features.new_zeros(*slots_of, *extent), nothing)
                found[extent].maps[rows[:, None], slots] = branch.activation_maps(maps, own) if activated else maps
                found[extent].present[rows[:, None], slots] = True
        start += size
    return list(found.values())


def probabilities(model: PrototypeModel, output: PrototypeOutput) -> Tensor:
    """[n,C]: the mean over branches of each branch's class probabilities (Wang et al. 2023 for deletion)."""
    return torch.stack([model.probabilities(branch.logits) for branch in output.branches.values()]).mean(0)


def normalisation(model: PrototypeModel) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [1,3,1,1] that the backbone normalises pictures with."""
    device = next(model.parameters()).device
    mean = getattr(model.backbone, "mean", torch.zeros(1, 3, 1, 1, device=device))
    return mean, getattr(model.backbone, "std", torch.ones_like(mean))


@dataclass(frozen=True)
class Scores:
    """Class scores, probabilities and activations of all prototypes."""

    name: str = "scores"
    cost = 1

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        output = chunk.output
        return {
            "logits": output.logits,
            "probabilities": chunk.model.probabilities(output.logits),
            "activations": output.activations,
        }


@dataclass(frozen=True)
class Certificate:
    """Certified radius of each image for its own class, of models that know one."""

    name: str = "certificate"
    cost = 1

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        return {"radius": chunk.model.certified_radius(chunk.output, chunk.labels)}


@dataclass(frozen=True)
class Unprojected:
    """Class scores with the prototypes from before projection; all else is as in the checkpoint."""

    name: str = "unprojected"
    cost = 1

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        assert chunk.before is not None
        return {"logits": chunk.before.from_features(chunk.features).logits}


@dataclass(frozen=True)
class LeadContributions:
    """The lead of the best class over the runner-up, and what each prototype contributes to it."""

    name: str = "lead"
    cost = 1

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        output = chunk.output
        best, two = output.logits.topk(2)
        classes = two.unique()
        evidence = chunk.model.evidence(output.activations, classes)
        place = torch.searchsorted(classes, two)[:, None].expand(-1, evidence.presence.shape[1], -1)
        first, second = (evidence.presence + evidence.absence).gather(2, place).unbind(2)
        return {"lead": best[:, 0] - best[:, 1], "contributions": first - second}


@dataclass(frozen=True)
class BestCells:
    """The cell of the best patch of every prototype, as row * w + column of its own map."""

    name: str = "patches"
    cost = 1

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        found = [branch.cells for branch in chunk.output.branches.values() if branch.cells is not None]
        return {"cells": torch.cat(found, 1).int()}


@dataclass(frozen=True)
class Peaks:
    """Peaks (y, x) of the upsampled similarity maps of the prototypes of each image's class."""

    name: str = "peaks"
    cost = 1

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        return {"peaks": chunk.own_peaks}


@dataclass(frozen=True)
class Noise:
    """Peaks on images with clipped normal noise; with noise in pixels, also class scores.

    The published unit (Huang et al. 2023, stability score) is the standard deviation that the backbone normalises by;
    ``pixel`` is the range of pixels, the same for every backbone.
    """

    name: str
    unit: Literal["normalised", "pixel"]
    draw: int
    deviation: float
    limit: float
    seed: int
    cost = 1

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        features = chunk.model.backbone(self.images(chunk))
        columns = {"peaks": own_peaks(chunk.model, chunk.description, features, chunk.labels)}
        if self.unit == "pixel":
            columns["logits"] = chunk.model.from_features(features).logits
        return columns

    def images(self, chunk: Chunk) -> Tensor:
        """float [n,3,S,S]: the images plus noise, each from its own seed."""
        stream = "noise" if self.unit == "normalised" else "pixel noise"
        noise = torch.empty(chunk.images.shape)
        for one, image in zip(noise, chunk.ids, strict=True):
            seed = seed_of(self.seed, f"{stream} {self.deviation} {self.draw}", image)
            fill_with_noise(one, self.deviation, self.limit, seed)
        noise = noise.to(chunk.images.device)
        unit = normalisation(chunk.model)[1] if self.unit == "normalised" else torch.ones((), device=noise.device)
        return torch.addcmul(chunk.images, noise, unit, out=noise)
