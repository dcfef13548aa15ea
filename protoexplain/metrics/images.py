"""The test images that a model is measured on, and how each became a network input."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from protoexplain.data.geometry import Geometry
from protoexplain.data.loading import Crop, ImageDataset, geometry_of, readable
from protoexplain.data.reading import read_image_set
from protoexplain.data.records import ImageRecord, ImageSet
from protoexplain.errors import UserError
from protoexplain.io.checkpoint import Checkpoint
from protoexplain.io.images import image_size
from protoexplain.metrics.parts import Parts, read_parts


@dataclass(frozen=True)
class Images:
    """Images to measure on.

    Args:
        name: Of the data set.
        records: The images that can be read.
        geometries: Of each: how it becomes the input.
        crop: ``box`` or ``full``.
        size: Side S of the input.
        part_names: Empty where the data set has none.
        problems: What was left out, one sentence each.
    """

    name: str
    records: tuple[ImageRecord, ...]
    geometries: tuple[Geometry, ...]
    crop: Crop
    size: int
    part_names: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(record.id for record in self.records)

    @property
    def labels(self) -> Tensor:
        return torch.tensor([record.label for record in self.records], dtype=torch.long)

    @property
    def fingerprint(self) -> str:
        """Names which images these are, for all models that look at them."""
        return _digest(f"{record.id}|{record.label}" for record in self.records)

    @property
    def inputs_fingerprint(self) -> str:
        """Names the inputs that they become: which images, how they are cut, and their size."""
        return _digest(
            [self.fingerprint, str(self.size), *(str(geometry.crop.as_list()) for geometry in self.geometries)]
        )

    @property
    def has_parts(self) -> bool:
        return bool(self.part_names) and any(record.parts for record in self.records)

    @property
    def has_regions(self) -> bool:
        """Whether any image says where its object is within the input."""
        boxed = self.crop == "full" and any(record.box for record in self.records)
        return boxed or any(record.mask for record in self.records)

    def parts(self) -> Parts | None:
        return read_parts(self.records, self.geometries, self.part_names, self.size) if self.has_parts else None

    def dataset(self) -> ImageDataset:
        return ImageDataset(self.records, self.crop, self.size)


def read_test_images(checkpoint: Checkpoint, data: Path, per_class: int = 0) -> Images:
    """The test images of a checkpoint's data set, cut as in training.

    Args:
        checkpoint: Its classes must be those of the data.
        data: Folder of the data set.
        per_class: At most so many of each class, the first ones; 0 takes all.

    Raises:
        UserError: Unreadable, other classes, or no test image.
    """
    image_set = read_image_set(data, "auto", checkpoint.config.training.seed)
    checkpoint.require_classes(image_set.classes, data)
    chosen = _first_of_each_class(image_set.split("test"), per_class)
    images = _read(image_set, chosen, checkpoint.data.crop, checkpoint.config.data.image_size)
    if not images.records:
        raise UserError("there is no test image", str(data), "protoexplain data check says what was found")
    return images


def read_foreign_images(checkpoint: Checkpoint, folder: Path) -> Images:
    """Images of things that the model was not trained on: the test images of a folder, or all if it has no split.

    Raises:
        UserError: Unreadable, or no image.
    """
    image_set = read_image_set(folder)
    records = image_set.split("test") or list(image_set.records)
    boxed = checkpoint.data.crop == "box" and all(record.box for record in records)
    images = _read(image_set, records, "box" if boxed else "full", checkpoint.config.data.image_size)
    if not images.records:
        raise UserError("there is no image", str(folder), "protoexplain data check says what was found")
    return images


def _read(image_set: ImageSet, records: Sequence[ImageRecord], crop: Crop, size: int) -> Images:
    good, problems = readable(records)
    geometries = tuple(geometry_of(record, image_size(record.path), crop, size) for record in good)
    return Images(image_set.name, tuple(good), geometries, crop, size, image_set.part_names, problems)


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _first_of_each_class(records: Sequence[ImageRecord], most: int) -> list[ImageRecord]:
    seen: Counter[int] = Counter()
    chosen = []
    for record in records:
        seen[record.label] += 1
        if not most or seen[record.label] <= most:
            chosen.append(record)
    return chosen
