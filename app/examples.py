"""Example pictures: test images of a data set, or the training pictures that a checkpoint carries.

Only the pictures listed here can be asked for by a browser, by their keys; small copies are shown for choosing.
"""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import BinaryIO, TypeVar

from PIL import Image

from protoexplain.data.geometry import Box
from protoexplain.data.reading import read_image_set
from protoexplain.errors import UserError
from protoexplain.io.checkpoint import Checkpoint
from protoexplain.io.images import load_image

SHOWN, PER_CLASS = 36, 3
THUMBNAIL_SIDE = 160
Item = TypeVar("Item")


@dataclass(frozen=True)
class Subject:
    """A picture to explain.

    Args:
        key: Names it among the examples; the path of an upload.
        name: For people.
        content: The file, or its bytes.
        truth: Class name that its data set gives it.
        box: Of the object, in pixels of the picture.
    """

    key: str
    name: str
    content: Path | bytes
    truth: str | None = None
    box: Box | None = None

    def open(self) -> Path | BinaryIO:
        return io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content


class Examples:
    """The examples of each checkpoint.

    Args:
        data: A data set whose test images are the examples; None takes the pictures inside each checkpoint.
        folder: Where small copies are written.

    Raises:
        UserError: The data set cannot be read.
    """

    def __init__(self, data: Path | None, folder: Path) -> None:
        self._folder = folder
        self._of_data = _test_images(data) if data else None
        self._of_checkpoints: dict[str, tuple[Subject, ...]] = {}

    def of(self, checkpoint: Checkpoint) -> tuple[Subject, ...]:
        """The examples for a checkpoint, in an order that is always the same."""
        if self._of_data is not None:
            return self._of_data
        if checkpoint.sha256 not in self._of_checkpoints:
            self._of_checkpoints[checkpoint.sha256] = _training_pictures(checkpoint)
        return self._of_checkpoints[checkpoint.sha256]

    def find(self, checkpoint: Checkpoint, key: str) -> Subject:
        """An example by its key.

        Raises:
            UserError: There is none.
        """
        for subject in self.of(checkpoint):
            if subject.key == key:
                return subject
        raise UserError("there is no such example", "", "choose one of the pictures that are shown")

    def thumbnail(self, subject: Subject) -> Path:
        """A small JPEG of an example, made once."""
        path = self._folder / f"{hashlib.sha256(subject.key.encode()).hexdigest()[:24]}.jpg"
        if not path.exists():
            image = Image.fromarray(load_image(subject.open()).rgb)
            image.thumbnail((THUMBNAIL_SIDE * 2, THUMBNAIL_SIDE))
            image.save(path, quality=85)
        return path


def _test_images(root: Path) -> tuple[Subject, ...]:
    found = read_image_set(root)
    records = found.split("test") or list(found.records)
    random.Random(0).shuffle(records)
    subjects = (
        Subject(record.id, Path(record.id).name, record.path, found.classes[record.label], record.box)
        for record in _in_turns(records, [record.label for record in records])
    )
    return tuple(islice(filter(_readable, subjects), SHOWN))


def _training_pictures(checkpoint: Checkpoint) -> tuple[Subject, ...]:
    """One for each training image that stands behind a prototype."""
    records = {record.image_id: record for record in checkpoint.prototypes if record.image_id and record.source}
    subjects: list[Subject] = []
    for record in _in_turns(list(records.values()), [record.label for record in records.values()]):
        picture = checkpoint.picture(record.index, "source")
        if picture is not None and len(subjects) < SHOWN:
            name = Path(str(record.image_id)).name
            truth = checkpoint.classes[record.label] if record.label >= 0 else None
            subjects.append(Subject(f"{checkpoint.sha256[:16]}/{record.index}", name, picture, truth))
    return tuple(subjects)


def _in_turns(items: Sequence[Item], groups: Sequence[Hashable]) -> Iterable[Item]:
    """One item of each group, then the second of each, up to `PER_CLASS`; lone groups are not limited."""
    members: dict[Hashable, list[Item]] = {}
    for item, group in zip(items, groups, strict=True):
        members.setdefault(group, []).append(item)
    limit = PER_CLASS if len(members) > 1 else None
    for turn in zip_longest(*(group[:limit] for group in members.values())):
        yield from (item for item in turn if item is not None)


def _readable(subject: Subject) -> bool:
    try:
        load_image(subject.open())
    except UserError:
        return False
    return True
