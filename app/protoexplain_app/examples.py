"""Pictures to choose from: test images of a data set, or the training pictures that a checkpoint carries.

Only the pictures listed here can be asked for by a browser, by their keys; small copies are shown for choosing.
"""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Hashable, Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from cachetools import LRUCache, cachedmethod
from PIL import Image

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.file_names import THUMBS
from protoexplain.data.dataset_view import DatasetView, view_of
from protoexplain.data.loading import readable
from protoexplain.data.read import read_image_set
from protoexplain.data.records import ImageSet
from protoexplain.errors import UserError
from protoexplain.io.images import load_image
from protoexplain_app.input_image import InputImage

OPENED = 36
"""So many pictures are tried before they are offered."""
START_WITH_DATA = "whoever runs this page can start it with --data FOLDER"
"""What helps where there is no data set."""
THUMBNAIL_SIDE, MAX_THUMBNAILS = 160, 2000
Item = TypeVar("Item")


class Examples:
    """The examples of each checkpoint.

    Args:
        data: A data set of which the test images of each checkpoint are its examples; None takes the pictures inside
            the checkpoint.

    Raises:
        UserError: The data set cannot be read.
    """

    def __init__(self, data: Path | None) -> None:
        self.folder = data
        if data:
            read_image_set(data)
        self._views: dict[str, DatasetView] = {}
        self._images: dict[str, tuple[InputImage, ...]] = {}
        self._by_token: dict[str, InputImage] = {}
        self._thumbnails: LRUCache[str, bytes] = LRUCache(MAX_THUMBNAILS)
        self._lock = threading.Lock()

    def view(self, checkpoint: Checkpoint) -> DatasetView | None:
        """The data set as a checkpoint sees it; None where there is none.

        Raises:
            UserError: It can no longer be read.
        """
        if self.folder is None:
            return None
        if checkpoint.sha256 not in self._views:
            self._views[checkpoint.sha256] = view_of(checkpoint, self.folder)
        return self._views[checkpoint.sha256]

    def matching_view(self, checkpoint: Checkpoint) -> DatasetView:
        """The data set as a checkpoint sees it.

        Raises:
            UserError: There is none, or it has other classes than the model.
        """
        view = self.view(checkpoint)
        if view is None or self.folder is None:
            raise UserError("there is no data set", "", START_WITH_DATA)
        checkpoint.require_classes(view.image_set.classes, self.folder)
        return view

    def own_view(self, checkpoint: Checkpoint) -> DatasetView | None:
        """The data set, if it is the one that a checkpoint was trained on."""
        view = self.view(checkpoint)
        return view if view is not None and view.as_trained else None

    def images_of(self, checkpoint: Checkpoint) -> ImageSet | None:
        """The images that a checkpoint was made on, if the data set is the one that it was trained on."""
        view = self.own_view(checkpoint)
        return view.image_set if view is not None else None

    def fingerprint(self, checkpoint: Checkpoint) -> str:
        """Of the data set as a checkpoint sees it; empty where there is none."""
        view = self.view(checkpoint)
        return "" if view is None else view.fingerprint

    def of(self, checkpoint: Checkpoint) -> tuple[InputImage, ...]:
        """The examples for a checkpoint, in an order that is always the same."""
        if checkpoint.sha256 not in self._images:
            view = self.view(checkpoint)
            found = _training_pictures(checkpoint) if view is None else _test_images(view)
            self._images[checkpoint.sha256] = found
            self._by_token |= {image.token: image for image in found}
        return self._images[checkpoint.sha256]

    def find(self, checkpoint: Checkpoint, key: str) -> InputImage:
        """An example by its key.

        Raises:
            UserError: There is none.
        """
        for image in self.of(checkpoint):
            if image.key == key:
                return image
        raise UserError("there is no such example", "", "choose one of the pictures that are shown")

    @cachedmethod(lambda self: self._thumbnails, lock=lambda self: self._lock)
    def thumbnail(self, token: str) -> bytes:
        """A small JPEG of a picture that was listed.

        Raises:
            UserError: No such picture, or it cannot be read.
        """
        if token not in self._by_token:
            raise UserError("there is no such picture")
        return _small(self._by_token[token].path)


def _test_images(view: DatasetView) -> tuple[InputImage, ...]:
    """All of them, class by class in turn; the first ones were opened to see whether they can be read."""
    classes, records = view.image_set.classes, list(view.listed("test") or view.image_set.records)
    random.Random(0).shuffle(records)
    ordered = list(_in_turns(records, [record.label for record in records]))
    opened, _ = readable(ordered[:OPENED])
    return tuple(
        InputImage(record.id, Path(record.id).name, record.path, classes[record.label], record.box)
        for record in (*opened, *ordered[OPENED:])
    )


def _training_pictures(checkpoint: Checkpoint) -> tuple[InputImage, ...]:
    """One for each training image that stands behind a prototype."""
    records = list({record.image_id: record for record in checkpoint.prototypes if record.source}.values())
    return tuple(
        InputImage(
            key=f"{checkpoint.weights_sha256[:16]}/{record.index}",
            name=Path(str(record.image_id)).name,
            path=checkpoint.path / THUMBS / str(record.source),
            truth=checkpoint.owner_name(record.index),
        )
        for record in _in_turns(records, [record.label for record in records])
    )


def _in_turns(items: Sequence[Item], groups: Sequence[Hashable]) -> Iterable[Item]:
    """One item of each group, then the second of each, and so on."""
    members: dict[Hashable, list[Item]] = {}
    for item, group in zip(items, groups, strict=True):
        members.setdefault(group, []).append(item)
    for turn in zip_longest(*members.values()):
        yield from (item for item in turn if item is not None)


def _small(path: Path) -> bytes:
    image = Image.fromarray(load_image(path).rgb)
    image.thumbnail((THUMBNAIL_SIDE * 2, THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
