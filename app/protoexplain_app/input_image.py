"""A picture that a model explains: an example or an upload, and the part of it that the model looks at."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from cachetools import LRUCache

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.geometry import Box
from protoexplain.explanations.explainer import Explainer, ForwardResult
from protoexplain.io.images import image_size

Frame = tuple[float, float, float, float]


@dataclass(frozen=True)
class InputImage:
    """A picture to explain.

    Args:
        key: Names it among the examples; empty for an upload.
        name: For people.
        path: The file.
        truth: Class name that its data set gives it.
        box: Of the object, in pixels of the picture.
        frame: Of the object as its owner drew it: left, top, right, bottom from 0 to 1.
    """

    key: str
    name: str
    path: Path
    truth: str | None = None
    box: Box | None = None
    frame: Frame | None = None

    @property
    def token(self) -> str:
        """Names it in addresses of pictures."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:24]

    def known_truth(self, checkpoint: Checkpoint) -> str | None:
        """The class that the data set gives it, where the model knows that class."""
        return self.truth if self.truth in checkpoint.classes else None


class ForwardResults:
    """What models made of the pictures that they looked at last; for all threads.

    Args:
        size: Pictures kept for each model.
        run: Runs a model on a picture.
    """

    def __init__(self, size: int, run: Callable[[Explainer, InputImage], ForwardResult]) -> None:
        self.size, self._run = size, run
        self._results: WeakKeyDictionary[Explainer, LRUCache[tuple[InputImage, int], ForwardResult]] = (
            WeakKeyDictionary()
        )
        self._lock = threading.Lock()

    def of(self, explainer: Explainer, image: InputImage) -> ForwardResult:
        """What a model makes of a picture, as long as its file stays the same.

        Raises:
            UserError: The picture cannot be read.
        """
        key = (image, image.path.stat().st_mtime_ns if image.path.is_file() else 0)
        with self._lock:
            known = self._results.setdefault(explainer, LRUCache(self.size))
            if key in known:
                return known[key]
        found = self._run(explainer, image)
        with self._lock:
            known[key] = found
        return found


def run_model(explainer: Explainer, image: InputImage) -> ForwardResult:
    """Run a model on the part of a picture that it is to see; what it makes of the last picture is remembered.

    Raises:
        UserError: The picture cannot be read.
    """
    return _last.of(explainer, image)


_last = ForwardResults(
    1,
    lambda explainer, image: explainer.forward(image.path, name=image.name, box=region_of_interest(explainer, image)),
)


def region_of_interest(explainer: Explainer, image: InputImage) -> Box | None:
    """The region that the model looks at, in pixels of the picture; None for all of it.

    Raises:
        UserError: The picture cannot be read.
    """
    if image.frame is not None:
        width, height = image_size(image.path)
        left, top, right, bottom = image.frame
        return Box(left * width, top * height, right * width, bottom * height)
    return image.box if explainer.checkpoint.data.crop == "box" else None
