"""A folder of images as one run or one checkpoint sees it: which images are its training, validation and test images.

The split belongs to the data: where none is published, `data.split_seed` draws it, whatever else a run is seeded with.
A checkpoint lists the ids of its images, and a folder is read for it by these ids:

- Images that the checkpoint lists are in the part that it names, whatever the folder says today.
- Images that it does not list, as in a folder that has grown, are unseen: neither trained nor tested on.  They are in
  no part, so that numbers on test images stay comparable; whoever wants numbers on them gives them as a folder of their
  own.
- A folder with none of the listed images is another data set.  The model has seen none of it, so its own test images
  are taken, drawn by `data.split_seed` where it has no published split.
- A model that was imported without its data lists no images either; test images are those of the folder.
- A checkpoint of an older program lists no images: its split is drawn again as it was then, by `training.seed`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from protoexplain.checkpoint.split_ids import SplitIds
from protoexplain.config import DataConfig
from protoexplain.data.geometry import Box
from protoexplain.data.loading import Crop, ImageDataset, readable
from protoexplain.data.picture_store import PictureStore
from protoexplain.data.read import is_laid_out, read_image_set
from protoexplain.data.records import ImageRecord, ImageSet
from protoexplain.data.regions import with_alpha_masks
from protoexplain.data.source import Problems
from protoexplain.errors import UserError

if TYPE_CHECKING:
    from protoexplain.checkpoint.checkpoint import Checkpoint

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
_LEARNED = {"train": "the model was trained on this picture", "validation": "the model was chosen by this picture"}


@dataclass(frozen=True, eq=False)
class DatasetView:
    """The images of a run or a checkpoint.  No image is opened before the readable ones are asked for.

    Args:
        image_set: Images that are in a part; each record's split says in which.
        split_ids: What a checkpoint remembers: the part of each image, also of those that are not in the folder now.
        crop: ``box`` or ``full``, decided.
        unseen: Images of the folder that the checkpoint never knew.
        notices: What is to be known about the split, one sentence each.
        recorded: Fingerprint of the data set that the checkpoint was made on; empty for a run.
        foreign: Whether this is another data set than the checkpoint's, so that all of it is new to the model.
    """

    image_set: ImageSet
    split_ids: SplitIds
    crop: Crop
    unseen: tuple[ImageRecord, ...] = ()
    notices: tuple[str, ...] = ()
    recorded: str = ""
    foreign: bool = False

    def listed(self, part: Part) -> tuple[ImageRecord, ...]:
        """The images of a part, unreadable ones too."""
        part_of = self.split_ids.part_of
        return tuple(record for record in self.image_set.records if part_of[record.id] == part)

    def _readable(self, part: Part) -> tuple[ImageRecord, ...]:
        return tuple(readable(self.listed(part), of=len(self.image_set.records))[0])

    @cached_property
    def train(self) -> tuple[ImageRecord, ...]:
        """Training images that can be read, without those held out.

        Raises:
            UserError: There are none.
        """
        found = self._readable("train")
        if not found:
            raise UserError(
                "there is no training image", str(self.image_set.root), "protoexplain data check says what was found"
            )
        return found

    @cached_property
    def validation(self) -> tuple[ImageRecord, ...]:
        """Held out to choose the best checkpoint; those that can be read."""
        return self._readable("validation")

    @cached_property
    def test(self) -> tuple[ImageRecord, ...]:
        """Looked at for reports only; those that can be read."""
        return self._readable("test")

    @cached_property
    def problems(self) -> tuple[str, ...]:
        """Unreadable files of all parts, one sentence each."""
        return readable([record for part in PARTS for record in self.listed(part)])[1]

    @cached_property
    def fingerprint(self) -> str:
        """Of the images that are in a part, as `ImageSet.fingerprint`."""
        return self.image_set.fingerprint()

    @property
    def as_trained(self) -> bool:
        """Whether these are the images that the checkpoint was made on, none missing, and used in the same way."""
        return self.fingerprint == self.recorded

    def find(self, path: Path) -> ImageRecord | None:
        """The record of a file; None where the folder does not list it."""
        return self._by_path.get(path.resolve())

    def region(self, path: Path) -> Box | None:
        """Where the model looks in a file, in pixels of the image; None for all of it."""
        record = self.find(path)
        return record.box if record is not None and self.crop == "box" else None

    def about(self, path: Path) -> tuple[str, ...]:
        """A sentence where the model has learned from a file, so that nobody takes its answer for a test."""
        record = self.find(path)
        part = None if record is None or self.foreign else self.split_ids.part_of.get(record.id)
        return (_LEARNED[part],) if part in _LEARNED else ()

    @cached_property
    def _by_path(self) -> dict[Path, ImageRecord]:
        return {record.path.resolve(): record for record in (*self.unseen, *self.image_set.records)}

    def dataset(
        self,
        records: Sequence[ImageRecord],
        config: DataConfig,
        augmentation: str = "none",
        seed: int = 0,
        store: PictureStore | None = None,
    ) -> ImageDataset:
        return ImageDataset(records, self.crop, config.image_size, augmentation, seed, store)


def view_of_run(config: DataConfig, path: Path | None = None) -> DatasetView:
    """A data set as a run with this configuration splits and cuts it.

    Args:
        config: What to read and how.
        path: Overrides the configured folder.

    Raises:
        UserError: The data set cannot be read.
    """
    seed = config.split_seed
    return _drawn(_read(path or Path(config.path), config.source, config, seed), config, seed)


def parts_in_words(data: DatasetView, config: DataConfig, opened: bool = True) -> str:
    """How many images there are, which of them a training uses for what, and how they were chosen, in one sentence.

    Args:
        data: The images.
        config: By which they were chosen.
        opened: Count those that can be read, for which all are opened; else those that are listed.
    """
    parts = (data.train, data.validation, data.test) if opened else map(data.listed, PARTS)
    total, train, held_out, test = map(len, (data.image_set.records, *parts))
    seed = f"data.split_seed {config.split_seed}"
    how = f"a fifth of each class, by {seed}" if data.image_set.drawn_split else "as the data set says"
    drawn = f"{config.validation:.0%} of each class's others, by {seed}"
    held = f", and {held_out} choose the best epoch ({'as it says' if data.image_set.split('validation') else drawn})"
    told = (
        f"{total} images of {len(data.image_set.classes)} classes: {test} only test the model ({how}), "
        f"{train} train it{held if held_out else ''}"
    )
    return "; ".join((told, *data.image_set.remarks))


def view_of(checkpoint: Checkpoint, folder: Path) -> DatasetView:
    """A data set of any classes and layout as a checkpoint sees it.

    Args:
        checkpoint: Knows which images it learned from, and how they were cut.
        folder: Of the data set; one that can be read in the layout that the configuration names is read so.

    Raises:
        UserError: The data set cannot be read.
    """
    config, known = checkpoint.config.data, checkpoint.split_ids()
    seed = config.split_seed if known else checkpoint.config.training.seed
    image_set = _read(folder, _layout(folder, config.source), config, seed)
    if known is not None and any(record.id in known.part_of for record in image_set.records):
        return _listed(image_set, known, checkpoint)
    view = replace(_drawn(image_set, config, seed), recorded=checkpoint.data.fingerprint)
    crop: Crop = "box" if checkpoint.data.crop == "box" and _boxed(image_set) else "full"
    if known is not None:
        notice = f"no image of {checkpoint.data.name} is here: this is another data set, and new to the model"
        return replace(view, split_ids=known.joined(view.split_ids), crop=crop, notices=(notice,), foreign=True)
    if not checkpoint.data.fingerprint:
        notice = "the model came without its data, and nobody can tell which of these images it learned from"
        return replace(view, crop=crop, notices=(notice,))
    notice = (
        f"the checkpoint does not list its images; they were chosen again by training.seed {seed}, as they were then"
    )
    if view.as_trained:
        return replace(view, crop=checkpoint.data.crop, notices=(notice,))
    doubt = "but the data set is not as it was then, so that test images may be among those that the model learned from"
    return replace(view, crop=crop, notices=(f"{notice}, {doubt}",))


def matching_view(checkpoint: Checkpoint, folder: Path) -> DatasetView:
    """As `view_of`, of a data set with the classes of the model.

    Raises:
        UserError: The data set cannot be read, or has other classes.
    """
    view = view_of(checkpoint, folder)
    checkpoint.require_classes(view.image_set.classes, folder)
    return view


def train_validation(image_set: ImageSet, fraction: float, seed: int) -> tuple[list[ImageRecord], list[ImageRecord]]:
    """The training images and those held out: the validation images that the data set names, or else a share of the
    training images of each class, which depends on ids and seed only, not on order.
    """
    if published := image_set.split("validation"):
        return image_set.split("train"), published
    by_class: dict[int, list[ImageRecord]] = defaultdict(list)
    for record in image_set.split("train"):
        by_class[record.label].append(record)
    held_out: set[str] = set()
    for records in by_class.values():
        shuffled = sorted(records, key=lambda record: hashlib.sha256(f"{seed}/{record.id}".encode()).digest())
        held_out.update(record.id for record in shuffled[: min(round(fraction * len(records)), len(records) - 1)])
    train = image_set.split("train")
    return [r for r in train if r.id not in held_out], [r for r in train if r.id in held_out]


def _read(folder: Path, layout: str, config: DataConfig, seed: int) -> ImageSet:
    """The data set, with the masks that a configuration wants."""
    image_set = read_image_set(folder, layout, seed)
    return with_alpha_masks(image_set) if config.alpha_masks else image_set


def _drawn(image_set: ImageSet, config: DataConfig, seed: int) -> DatasetView:
    """All images in the parts that a configuration gives them."""
    parts = (*train_validation(image_set, config.validation, seed), image_set.split("test"))
    crop: Crop = "box" if config.crop == "box" or (config.crop == "auto" and _boxed(image_set)) else "full"
    return DatasetView(image_set, SplitIds(*(tuple(record.id for record in part) for part in parts)), crop)


def _listed(image_set: ImageSet, known: SplitIds, checkpoint: Checkpoint) -> DatasetView:
    """The images that a checkpoint lists, in the parts that it names."""
    records, unseen, problems = [], [], Problems()
    for record in image_set.records:
        part = known.part_of.get(record.id)
        if part is None:
            unseen.append(record)
            problems.add("images that the model neither learned from nor was tested on, left out", record.id)
        else:
            published = record.split == part == "validation"
            records.append(record if published else replace(record, split="test" if part == "test" else "train"))
    for id_ in sorted(known.part_of.keys() - {record.id for record in records}):
        problems.add("images of the model that are not here", id_)
    return DatasetView(
        replace(image_set, records=tuple(records)),
        known,
        checkpoint.data.crop,
        tuple(unseen),
        problems.sentences(),
        checkpoint.data.fingerprint,
    )


def _boxed(image_set: ImageSet) -> bool:
    return all(record.box is not None for record in image_set.records)


def _layout(folder: Path, configured: str) -> str:
    """The layout that a configuration names, if the folder has it."""
    return configured if is_laid_out(folder, configured) else "auto"
