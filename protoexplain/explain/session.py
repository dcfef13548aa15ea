"""A loaded checkpoint that explains images: the model, its prototypes and their pictures together."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from protoexplain.data.augmentation import resized
from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.loading import cut
from protoexplain.explain.local import Explanation, Match, explain
from protoexplain.explain.render import draw_box
from protoexplain.io.checkpoint import Checkpoint, PrototypeRecord
from protoexplain.io.images import load_image
from protoexplain.memory import keep_freed_memory
from protoexplain.models.base import PrototypeModel
from protoexplain.models.registry import get_family

RGB = NDArray[np.uint8]


@dataclass(frozen=True)
class ExplainedImage:
    """An explanation and the image it is about, upright RGB [H,W,3]."""

    explanation: Explanation
    rgb: RGB


class Explainer:
    """Explains images with one checkpoint.

    Args:
        checkpoint: Path of a checkpoint folder, or one that was loaded.
        device: Where the model runs.
    """

    def __init__(self, checkpoint: Path | Checkpoint, device: str = "cpu") -> None:
        keep_freed_memory()
        self.checkpoint = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint.load(checkpoint)
        self.model: PrototypeModel = self.checkpoint.model(device)

    @property
    def title(self) -> str:
        return get_family(self.checkpoint.config.family).title

    @cached_property
    def unit(self) -> str:
        """Of the evidence: what class scores are measured in."""
        return "probability" if self.model.scores_are_probabilities else "logit"

    def explain(
        self,
        image: Path | BinaryIO,
        *,
        name: str = "",
        box: Box | None = None,
        labels: Sequence[int] | None = None,
        top_classes: int = 3,
        rows: int = 10,
    ) -> ExplainedImage:
        """Explain one image.

        Args:
            image: A file, or an open one.
            name: Shown for it; the file's name by default.
            box: Region to look at, in source pixels; the whole image by default.
            labels: Classes to explain; the best ones by default.
            top_classes: How many, where `labels` is None.
            rows: Prototypes per list.

        Raises:
            UserError: The file is no image that can be read.
        """
        loaded = load_image(image)
        size = self.checkpoint.config.data.image_size
        geometry = Geometry.of((loaded.rgb.shape[1], loaded.rgb.shape[0]), box, size)
        picture = as_picture(resized(cut(loaded.rgb, geometry), size).rgb)
        explanation = explain(
            self.model,
            picture,
            geometry,
            self.checkpoint.classes,
            image=name or (image.name if isinstance(image, Path) else "image"),
            labels=labels,
            top_classes=top_classes,
            rows=rows,
            notices=loaded.notices,
        )
        return ExplainedImage(explanation, loaded.rgb)

    def record(self, prototype: int) -> PrototypeRecord:
        return self.checkpoint.prototypes[prototype]

    def name(self, match: Match) -> str:
        """Prototype number and class, for people."""
        owner = "" if match.prototype_label < 0 else f" ({self.checkpoint.classes[match.prototype_label]})"
        return f"Prototype {match.prototype}{owner}"

    def patch(self, prototype: int) -> RGB | None:
        """Picture of the patch, None where the prototype has none."""
        picture = self.checkpoint.picture(prototype, "patch")
        return None if picture is None else _decoded(picture)

    def source(self, prototype: int) -> RGB | None:
        """The training image of the patch with its box, None where the prototype has none."""
        picture, box = self.checkpoint.picture(prototype, "source"), self.record(prototype).input_box
        return None if picture is None or box is None else draw_box(_decoded(picture), Box(*box))


def _decoded(picture: bytes) -> RGB:
    return np.array(Image.open(io.BytesIO(picture)).convert("RGB"))


def as_picture(rgb: RGB) -> torch.Tensor:
    """uint8 [H,W,3] -> float [3,H,W] in [0, 1]."""
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).float() / 255
