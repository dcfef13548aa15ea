"""Which images a run trains on, chooses by, and is tested on."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from protoexplain.config import DataConfig
from protoexplain.data.loading import Crop, ImageDataset, MemoryLimit, readable
from protoexplain.data.reading import read_image_set
from protoexplain.data.records import ImageRecord, ImageSet
from protoexplain.errors import UserError
from protoexplain.io.checkpoint import Checkpoint


@dataclass(frozen=True)
class RunData:
    """The images of a run.

    Args:
        image_set: What was read.
        train: Training images without the held-out ones and without unreadable files.
        validation: Held out of the training images, to choose the best checkpoint.
        test: Looked at for reports only.
        crop: ``box`` or ``full``, decided.
        problems: Unreadable files, one sentence each.
    """

    image_set: ImageSet
    train: tuple[ImageRecord, ...]
    validation: tuple[ImageRecord, ...]
    test: tuple[ImageRecord, ...]
    crop: Crop
    problems: tuple[str, ...]

    def dataset(
        self,
        records: Sequence[ImageRecord],
        config: DataConfig,
        augmentation: str = "none",
        seed: int = 0,
        kept: MemoryLimit | None = None,
    ) -> ImageDataset:
        return ImageDataset(records, self.crop, config.image_size, augmentation, seed, kept)


def train_validation(image_set: ImageSet, fraction: float, seed: int) -> tuple[list[ImageRecord], list[ImageRecord]]:
    """Hold out a share of the training images of each class; depends on ids and seed only, not on order."""
    by_class: dict[int, list[ImageRecord]] = defaultdict(list)
    for record in image_set.split("train"):
        by_class[record.label].append(record)
    held_out: set[str] = set()
    for records in by_class.values():
        shuffled = sorted(records, key=lambda record: hashlib.sha256(f"{seed}/{record.id}".encode()).digest())
        held_out.update(record.id for record in shuffled[: min(round(fraction * len(records)), len(records) - 1)])
    train = image_set.split("train")
    return [r for r in train if r.id not in held_out], [r for r in train if r.id in held_out]


def read_run_data(config: DataConfig, seed: int, path: Path | None = None) -> RunData:
    """Read the data set of a configuration and split it.

    Args:
        config: What to read and how.
        seed: Of the split of training and validation images.
        path: Overrides the configured folder.

    Raises:
        UserError: The data set cannot be read, has no training images, or boxes are asked for and missing.
    """
    image_set = read_image_set(path or Path(config.path), config.source, seed)
    train, validation = train_validation(image_set, config.validation, seed)
    test = image_set.split("test")
    good, problems = readable([*train, *validation, *test])
    usable = {record.id for record in good}
    train = [record for record in train if record.id in usable]
    if not train:
        raise UserError(
            "there is no training image", str(image_set.root), "protoexplain data check says what was found"
        )
    boxed = all(record.box is not None for record in image_set.records)
    crop: Crop = "box" if config.crop == "box" or (config.crop == "auto" and boxed) else "full"
    return RunData(
        image_set,
        tuple(train),
        tuple(record for record in validation if record.id in usable),
        tuple(record for record in test if record.id in usable),
        crop,
        problems,
    )


def read_data_of(checkpoint: Checkpoint, path: Path) -> RunData:
    """Read a data set of any layout as a checkpoint's configuration splits and cuts it.

    Raises:
        UserError: As `read_run_data`; or its classes are not the model's.
    """
    config = checkpoint.config
    data = read_run_data(config.data.model_copy(update={"source": "auto"}), config.training.seed, path)
    checkpoint.require_classes(data.image_set.classes, path)
    return data
