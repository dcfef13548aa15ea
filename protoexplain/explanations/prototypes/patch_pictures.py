"""The pictures of prototypes that a checkpoint holds, with the boxes of their training patches by any rule."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil, floor
from pathlib import Path
from typing import Literal

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.prototypes import PrototypeRecord
from protoexplain.data.geometry import Box
from protoexplain.explanations.overlays import RGB, draw_box, png
from protoexplain.io.images import image_size, load_image
from protoexplain.regions.box_rules import DEFAULT, BoxRule
from protoexplain.regions.patch_boxes import MarkedRecords


class PatchPictures:
    """Training patches of a checkpoint's prototypes.

    Args:
        checkpoint: Holds records, pictures and, unless an older program wrote it, activation maps of the prototypes.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._records: dict[str, MarkedRecords] = {}

    def records(self, rule: BoxRule = DEFAULT) -> Sequence[PrototypeRecord]:
        """Of all prototypes, with the boxes of their patches drawn by a rule; as recorded where maps are unknown."""
        if str(rule) not in self._records:
            records, size = self.checkpoint.prototypes, self.checkpoint.config.data.image_size
            self._records[str(rule)] = MarkedRecords(records, self.checkpoint.prototype_maps(), rule, size)
        return self._records[str(rule)]

    def encoded(self, prototype: int, kind: Literal["patch", "source"], rule: BoxRule = DEFAULT) -> bytes | None:
        """A picture as a file: what lies in the box of the patch, or the training image without its box.

        Args:
            prototype: Its number.
            kind: Which of both.
            rule: How the box is drawn; where that is not as recorded, the patch is cut out of the training image anew.

        Returns:
            JPEG or PNG; None where the prototype has no training image.

        Raises:
            UserError: A picture cannot be read.
        """
        stored, box = self._stored(prototype, kind, rule)
        return stored if stored is None or box is None else png(_inside(_decoded(stored), box))

    def size(self, prototype: int, kind: Literal["patch", "source"], rule: BoxRule = DEFAULT) -> tuple[int, int] | None:
        """(width, height) in pixels of what `encoded` gives, from the head of the file alone.

        Raises:
            UserError: That cannot be read.
        """
        stored, box = self._stored(prototype, kind, rule)
        if stored is None:
            return None
        width, height = image_size(io.BytesIO(stored))
        x0, y0, x1, y1 = (0, 0, width, height) if box is None else _pixels(box, width, height)
        return x1 - x0, y1 - y0

    def _stored(
        self, prototype: int, kind: Literal["patch", "source"], rule: BoxRule
    ) -> tuple[bytes | None, Box | None]:
        """The file that holds a picture, and the box that is cut out of it; None for all of it."""
        stored, box = self.checkpoint.picture(prototype, kind), self.records(rule)[prototype].input_box
        if kind == "source" or stored is None or box == self.checkpoint.prototypes[prototype].input_box:
            return stored, None
        source = self.checkpoint.picture(prototype, "source")
        return (stored, None) if source is None or box is None else (source, Box(*box))

    def patch(self, prototype: int, rule: BoxRule = DEFAULT) -> RGB | None:
        """What lies in the box of the patch, or the prototype as the model draws it; None without training image."""
        content = self.encoded(prototype, "patch", rule)
        return None if content is None else _decoded(content)

    def source(self, prototype: int, rule: BoxRule = DEFAULT) -> RGB | None:
        """The training image of the patch with its box, None where the prototype has none."""
        picture, box = self.checkpoint.picture(prototype, "source"), self.records(rule)[prototype].input_box
        return None if picture is None or box is None else draw_box(_decoded(picture), Box(*box))


@dataclass(frozen=True)
class _Key:
    """A checkpoint, told apart by its folder and weights."""

    path: Path
    weights_sha256: str
    checkpoint: Checkpoint = field(compare=False)


def pictures_of(checkpoint: Checkpoint) -> PatchPictures:
    """Those of a checkpoint; the last ones stay in memory, because their boxes take time to draw."""
    return _pictures_of(_Key(checkpoint.path, checkpoint.weights_sha256, checkpoint))


@lru_cache(maxsize=16)
def _pictures_of(key: _Key) -> PatchPictures:
    return PatchPictures(key.checkpoint)


def _inside(rgb: RGB, box: Box) -> RGB:
    x0, y0, x1, y1 = _pixels(box, rgb.shape[1], rgb.shape[0])
    return rgb[y0:y1, x0:x1]


def _pixels(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Edges of the pixels that a box touches in a picture of some size, at least one."""
    shown = box.clipped(width, height)
    x0, y0 = min(floor(shown.x0), width - 1), min(floor(shown.y0), height - 1)
    return x0, y0, max(ceil(shown.x1), x0 + 1), max(ceil(shown.y1), y0 + 1)


def _decoded(picture: bytes) -> RGB:
    return load_image(io.BytesIO(picture)).rgb
