"""What editing a checkpoint needs to know of its data, computed in one pass: latent maps and activations.

The network stays as it is while prototypes are edited, so the latent map of every picture is kept: in a file without
a name, which vanishes with the bench.  Whatever is decided on prototypes then costs no further pass.
N pictures, P prototypes, D channels, H x W cells.
"""

from __future__ import annotations

import copy
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from protoexplain.data.loading import ImageDataset, batches
from protoexplain.data.records import ImageRecord
from protoexplain.errors import UserError
from protoexplain.io.checkpoint import Checkpoint
from protoexplain.io.images import load_image
from protoexplain.models.base import Branch, PrototypeModel
from protoexplain.models.similarity import map_size
from protoexplain.training.diagnose import beside_object
from protoexplain.training.run import make_fabric
from protoexplain.training.splits import RunData, read_data_of

TRAIN, VALIDATION, TEST = "train", "validation", "test"
AT_ONCE = 256
"""Latent maps that are compared with prototypes in one step."""


@dataclass(frozen=True)
class Looks:
    """What the model sees in the clean pictures of a split.

    Args:
        images: N of them.
        labels: [N].
        latents: Branch -> float32 [N,D,H,W].
        similarity: [N,P] of each prototype's best patch.
    """

    images: tuple[ImageRecord, ...]
    labels: Tensor
    latents: Mapping[str, Tensor]
    similarity: Tensor

    def best(self, branch_name: str, branch: Branch, prototypes: Tensor) -> Tensor:
        """Similarity [N,p] of the best patches to other prototypes [p,D,h,w] of a branch."""
        parts = self.latents[branch_name].split(AT_ONCE)
        return torch.cat([branch.similarity.best(part, prototypes)[0] for part in parts]).detach()


@dataclass(frozen=True)
class Bench:
    """A checkpoint on its data, ready to be edited; nothing that is done with it changes it.

    Args:
        checkpoint: The parent of what is made.
        data: What it was trained on.
        model: Without its backbone, on the CPU, in eval mode.
        proof: Branch -> prototypes before they were written, where they were.
        looks: By split.
    """

    checkpoint: Checkpoint
    data: RunData
    model: PrototypeModel
    proof: Mapping[str, Tensor]
    looks: Mapping[str, Looks]
    _beside: dict[tuple[str, int, int], Tensor | None] = field(default_factory=dict, repr=False)

    def place(self, prototype: int) -> tuple[str, Branch, int]:
        """Name of a prototype's branch, the branch, and its number there.

        Raises:
            UserError: There is no such prototype.
        """
        start = 0
        for name, branch in self.model.named_branches():
            if 0 <= prototype - start < len(branch.prototypes):
                return name, branch, prototype - start
            start += len(branch.prototypes)
        raise UserError(
            f"there is no prototype {prototype}", str(self.checkpoint.path), f"give a number from 0 to {start - 1}"
        )

    def learned(self, prototype: int) -> Tensor:
        """A prototype [1,D,h,w] as it was before a patch was written into it."""
        name, branch, own = self.place(prototype)
        known = self.proof.get(name)
        return (branch.prototypes.detach() if known is None else known)[own : own + 1].clone()

    def map_of(self, prototype: int) -> tuple[int, int]:
        """Rows and columns of the cells that a prototype can lie on."""
        name, branch, own = self.place(prototype)
        return map_size(self.looks[TRAIN].latents[name], branch.prototypes[own : own + 1])

    def beside(self, place: int, height: int, width: int) -> Tensor | None:
        """bool [H,W]: cells of a training picture with their centre beside the object; None where nothing tells."""
        image, crop = self.looks[TRAIN].images[place], self.data.crop
        key = (image.id, height, width)
        if key not in self._beside:
            known = image.mask is not None or (image.box is not None and crop == "full")
            centres = [((x + 0.5) / width, (y + 0.5) / height) for y in range(height) for x in range(width)]
            told = beside_object(image, self.source_size(place), crop, centres) if known else None
            self._beside[key] = None if told is None else torch.tensor(told).view(height, width)
        return self._beside[key]

    def source_size(self, place: int) -> tuple[int, int]:
        """Width and height of the file of a training picture."""
        return load_image(self.looks[TRAIN].images[place].path).size

    def pictures(self) -> ImageDataset:
        """The training pictures as the network saw them."""
        return ImageDataset(self.looks[TRAIN].images, self.data.crop, self.checkpoint.config.data.image_size)


Progress = Callable[[int, int], None]


def open_bench(checkpoint: Checkpoint, data: Path, progress: Progress | None = None) -> Bench:
    """Look at all pictures of a data set once.

    Args:
        checkpoint: To be edited.
        data: Folder of the data set that it was trained on.
        progress: Told (done, total) in pictures.

    Raises:
        UserError: Another data set, pictures that cannot be read, or too little room on the disk.
    """
    read = read_data_of(checkpoint, data)
    if read.image_set.fingerprint() != checkpoint.data.fingerprint:
        raise UserError(
            "this is not the data set that the model was trained on, so its prototypes lie on other pictures",
            str(data),
            f"use {checkpoint.data.name} as it was then",
        )
    fabric = make_fabric(checkpoint.config.training.model_copy(update={"devices": 1}))
    model = checkpoint.model(fabric.device)
    splits = {TRAIN: read.train, VALIDATION: read.validation, TEST: read.test}
    total, done = sum(map(len, splits.values())), 0
    looks = {}
    for name, images in splits.items():
        before = done

        def told(seen: int, before: int = before) -> None:
            if progress:
                progress(before + seen, total)

        looks[name] = _look(model, images, read, checkpoint.config.data.image_size, fabric.device, told)
        done += len(images)
    proof = {name: tensor.clone() for name, tensor in checkpoint.proof().items()}
    return Bench(checkpoint, read, without_backbone(model).cpu().eval(), proof, looks)


def without_backbone(model: PrototypeModel) -> PrototypeModel:
    """A copy of all that comes after the backbone."""
    return copy.deepcopy(model, {id(model.backbone): nn.Identity()})


@torch.no_grad()
def _look(
    model: PrototypeModel,
    images: tuple[ImageRecord, ...],
    data: RunData,
    size: int,
    device: torch.device,
    told: Callable[[int], None],
    batch_size: int = 16,
) -> Looks:
    dataset = ImageDataset(images, data.crop, size, cache_bytes=0)
    latents: dict[str, Tensor] = {}
    similarity = torch.empty(len(images), model.num_prototypes)
    done = 0
    for batch in batches(dataset, range(len(images)), batch_size):
        features = model.backbone(batch.images[:, 0].to(device))
        rows, best = slice(done, done + len(batch.labels)), []
        for name, branch in model.named_branches():
            z = branch.addon(features)
            best.append(branch.similarity.best(z, branch.prototypes)[0])
            if name not in latents:
                latents[name] = _storage((len(images), *z.shape[1:]))
            latents[name][rows] = z.float().cpu()
        similarity[rows] = torch.cat(best, 1).float().cpu()
        done = rows.stop
        told(done)
    labels = torch.tensor([image.label for image in images], dtype=torch.long)
    return Looks(images, labels, latents, similarity)


def _storage(shape: tuple[int, ...]) -> Tensor:
    """Numbers in a file without a name, which vanishes with them.

    Raises:
        UserError: The disk is too full.
    """
    needed, folder = 4 * math.prod(shape), tempfile.gettempdir()
    if shutil.disk_usage(folder).free < needed:
        raise UserError(
            f"there is no room for the latent maps of {shape[0]} pictures: {needed / 1e6:.0f} MB are needed",
            folder,
            "make room, or name another folder in TMPDIR",
        )
    with tempfile.TemporaryFile() as stream:
        return torch.from_numpy(np.memmap(stream, dtype=np.float32, mode="w+", shape=shape))
