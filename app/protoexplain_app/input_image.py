"""A picture that a model explains: an example or an upload, and the part of it that the model looks at."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

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


def run_model(explainer: Explainer, image: InputImage) -> ForwardResult:
    """Run a model on the part of a picture that it is to see.

    Raises:
        UserError: The picture cannot be read.
    """
    return explainer.forward(image.path, name=image.name, box=region_of_interest(explainer, image))


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
