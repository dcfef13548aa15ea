"""What editing a checkpoint needs to know of its data, computed in one pass: latent maps and activations."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.dataset_view import DatasetView, matching_view
from protoexplain.data.loading import ImageDataset
from protoexplain.devices import AUTO, resolve_device
from protoexplain.errors import UserError
from protoexplain.io.images import image_size
from protoexplain.models.base import Branch, PrototypeModel
from protoexplain.models.similarity import map_size
from protoexplain.progress import Progress
from protoexplain.regions.object_cells import beside_object
from protoexplain.training.feature_cache import FeatureCache, compute_features
from protoexplain.training.inputs import ImageInputs

TRAIN, VALIDATION, TEST = "train", "validation", "test"
_BATCH = 16


@dataclass(frozen=True)
class EditPreview:
    """A checkpoint on its data, ready to be edited; nothing that is done with it changes it.

    Args:
        checkpoint: The parent of what is made.
        data: What it was trained on.
        model: Without its backbone, on the CPU, in eval mode.
        before_projection: Branch -> prototypes before they were written, where they were.
        features: By split.
    """

    checkpoint: Checkpoint
    data: DatasetView
    model: PrototypeModel
    before_projection: Mapping[str, Tensor]
    features: Mapping[str, FeatureCache]
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
        known = self.before_projection.get(name)
        return (branch.prototypes.detach() if known is None else known)[own : own + 1].clone()

    def map_of(self, prototype: int) -> tuple[int, int]:
        """Rows and columns of the cells that a prototype can lie on."""
        name, branch, own = self.place(prototype)
        return map_size(self.features[TRAIN].latents[name][:1], branch.prototypes[own : own + 1])

    def beside(self, place: int, height: int, width: int) -> Tensor | None:
        """bool [H,W]: cells of a training picture with their centre beside the object; None where nothing tells."""
        image, crop = self.features[TRAIN].images[place], self.data.crop
        key = (image.id, height, width)
        if key not in self._beside:
            known = image.mask is not None or (image.box is not None and crop == "full")
            centres = [((x + 0.5) / width, (y + 0.5) / height) for y in range(height) for x in range(width)]
            beside = beside_object(image, self.source_size(place), crop, centres) if known else None
            self._beside[key] = None if beside is None else torch.tensor(beside).view(height, width)
        return self._beside[key]

    def source_size(self, place: int) -> tuple[int, int]:
        """Width and height of the file of a training picture."""
        return image_size(self.features[TRAIN].images[place].path)

    def pictures(self) -> ImageDataset:
        """The training pictures as the network saw them."""
        return ImageDataset(self.features[TRAIN].images, self.data.crop, self.checkpoint.config.data.image_size)


def open_preview(
    checkpoint: Checkpoint, data: Path, progress: Progress | None = None, device: str = AUTO
) -> EditPreview:
    """Look at all pictures of a data set once.

    Args:
        checkpoint: To be edited.
        data: Folder of the data set that it was trained on.
        progress: Told (done, total) in pictures.
        device: Where the model looks at them, as `resolve_device`.

    Raises:
        UserError: Another data set, pictures that cannot be read, too little room on the disk, or no such device.
    """
    where = resolve_device(device)
    read = matching_view(checkpoint, data)
    if not read.as_trained:
        raise UserError(
            "this is not the data set that the model was trained on, so its prototypes lie on other pictures",
            str(data),
            f"use {checkpoint.data.name} as it was then",
        )
    model = checkpoint.model(where)
    splits = {TRAIN: read.train, VALIDATION: read.validation, TEST: read.test}
    total, done = sum(map(len, splits.values())), 0
    features = {}
    for name, images in splits.items():
        before = done

        def report_progress(done_here: int, _: int, before: int = before) -> None:
            if progress:
                progress(before + done_here, total)

        pictures = ImageInputs(read.dataset(images, checkpoint.config.data))
        features[name] = compute_features(model, pictures, where, _BATCH, report_progress)
        done += len(images)
    before_projection = {name: tensor.clone() for name, tensor in checkpoint.before_projection().items()}
    return EditPreview(checkpoint, read, without_backbone(model).cpu().eval(), before_projection, features)


def without_backbone(model: PrototypeModel) -> PrototypeModel:
    """A copy of all that comes after the backbone."""
    return copy.deepcopy(model, {id(model.backbone): nn.Identity()})
