"""The test images that a model is measured on, and how each became a network input."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.dataset_view import DatasetView, matching_view, view_of
from protoexplain.data.funnybirds import CHANGED, FunnyBirdsInterventions
from protoexplain.data.geometry import Geometry
from protoexplain.data.interventions import Interventions
from protoexplain.data.loading import Crop, ImageDataset, geometry_of, readable
from protoexplain.data.records import ImageRecord, ImageSet
from protoexplain.errors import UserError
from protoexplain.io.images import image_size
from protoexplain.metrics.observe.parts import Parts, read_parts
from protoexplain.metrics.stats.randomness import seed_of
from protoexplain.planted.interventions import PlantedInterventions
from protoexplain.planted.writer import SETTINGS_FILE


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
        training: The training images of the same data set; none of their files was opened.
        notices: What is to be known about which images these are, one sentence each.
        interventions: Images without parts of the test images, where the data set has such.
    """

    name: str
    records: tuple[ImageRecord, ...]
    geometries: tuple[Geometry, ...]
    crop: Crop
    size: int
    part_names: tuple[str, ...]
    problems: tuple[str, ...]
    training: tuple[ImageRecord, ...] = ()
    notices: tuple[str, ...] = ()
    interventions: Interventions | None = None

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
        return _has_regions(self.records, self.crop)

    @property
    def has_training_regions(self) -> bool:
        """Whether any training image does."""
        return _has_regions(self.training, self.crop)

    def parts(self) -> Parts | None:
        return read_parts(self.records, self.geometries, self.part_names, self.size) if self.has_parts else None

    def dataset(self) -> ImageDataset:
        return ImageDataset(self.records, self.crop, self.size)


def sample_training_images(images: Images, per_class: int, seed: int) -> Images:
    """Training images of the same data set, cut in the same way.

    Args:
        images: The test images.
        per_class: At most so many of each class, drawn at random; 0 takes all.
        seed: Of the draw.
    """
    drawn = sorted(images.training, key=lambda record: seed_of(seed, "training image", record.id))
    chosen = {record.id for record in _first_of_each_class(drawn, per_class)}
    records = [record for record in images.training if record.id in chosen]
    return _read(images.name, images.part_names, records, images.crop, images.size)


def read_test_images(checkpoint: Checkpoint, data: Path, per_class: int = 0) -> Images:
    """The test images of a checkpoint's data set, cut as in training.

    Args:
        checkpoint: Its classes must be those of the data.
        data: Folder of the data set.
        per_class: At most so many of each class, the first ones; 0 takes all.

    Raises:
        UserError: Unreadable, other classes, or no test image.
    """
    view = matching_view(checkpoint, data)
    chosen = _first_of_each_class(view.listed("test"), per_class)
    images = _read_of(view, chosen, checkpoint.config.data.image_size)
    if not images.records:
        raise UserError("there is no test image", str(data), "protoexplain data check says what was found")
    found = interventions_of(view.image_set)
    return replace(images, training=view.listed("train"), notices=view.notices, interventions=found)


def interventions_of(image_set: ImageSet) -> Interventions | None:
    """The images without parts that a data set holds, or that can be drawn of it; None where there are none.

    Raises:
        UserError: Its tables cannot be read.
    """
    if image_set.source == "funnybirds" and (image_set.root / CHANGED).is_dir():
        return FunnyBirdsInterventions(image_set.root)
    return PlantedInterventions(image_set.root) if (image_set.root / SETTINGS_FILE).is_file() else None


def read_foreign_images(checkpoint: Checkpoint, folder: Path) -> Images:
    """Images of things that the model was not trained on: the test images of a folder, or all if it has no split.

    Raises:
        UserError: Unreadable, or no image.
    """
    view = view_of(checkpoint, folder)
    chosen = view.listed("test") or view.image_set.records
    images = _read_of(view, chosen, checkpoint.config.data.image_size)
    if not images.records:
        raise UserError("there is no image", str(folder), "protoexplain data check says what was found")
    return images


def _has_regions(records: Sequence[ImageRecord], crop: Crop) -> bool:
    return (crop == "full" and any(record.box for record in records)) or any(record.mask for record in records)


def _read_of(view: DatasetView, records: Sequence[ImageRecord], size: int) -> Images:
    return _read(view.image_set.name, view.image_set.part_names, records, view.crop, size)


def _read(name: str, part_names: tuple[str, ...], records: Sequence[ImageRecord], crop: Crop, size: int) -> Images:
    good, problems = readable(records)
    geometries = tuple(geometry_of(record, image_size(record.path), crop, size) for record in good)
    return Images(name, tuple(good), geometries, crop, size, part_names, problems)


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _first_of_each_class(records: Sequence[ImageRecord], most: int) -> list[ImageRecord]:
    observed: Counter[int] = Counter()
    chosen = []
    for record in records:
        observed[record.label] += 1
        if not most or observed[record.label] <= most:
            chosen.append(record)
    return chosen
