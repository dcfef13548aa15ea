"""The pictures of prototypes that a checkpoint holds, with the boxes of their training patches by any rule."""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.prototypes import PrototypeRecord
from protoexplain.data.geometry import Box
from protoexplain.explain.overlays import draw_box
from protoexplain.io.images import load_image
from protoexplain.regions.box_rules import BoxRule
from protoexplain.regions.patch_boxes import MarkedRecords

RGB = NDArray[np.uint8]


class PatchPictures:
    """Training patches of a checkpoint's prototypes.

    Args:
        checkpoint: Holds records, pictures and, unless an older program wrote it, activation maps of the prototypes.
        drawn: Whether the picture of a patch is the prototype itself as the model draws it, which no box cuts.
    """

    def __init__(self, checkpoint: Checkpoint, drawn: bool) -> None:
        self.checkpoint, self.drawn = checkpoint, drawn
        self._records: dict[str, MarkedRecords] = {}

    def records(self, rule: BoxRule) -> Sequence[PrototypeRecord]:
        """Of all prototypes, with the boxes of their patches drawn by a rule; as recorded where maps are unknown."""
        if str(rule) not in self._records:
            records, size = self.checkpoint.prototypes, self.checkpoint.config.data.image_size
            self._records[str(rule)] = MarkedRecords(records, self.checkpoint.prototype_maps(), rule, size)
        return self._records[str(rule)]

    def patch(self, prototype: int, rule: BoxRule) -> RGB | None:
        """What lies in the box of the patch, or the prototype as the model draws it; None without training image."""
        picture, box = self.checkpoint.picture(prototype, "patch"), self.records(rule)[prototype].input_box
        if picture is None or box is None:
            return None
        if self.drawn or box == self.checkpoint.prototypes[prototype].input_box:
            return _decoded(picture)
        source = self.checkpoint.picture(prototype, "source")
        return None if source is None else _inside(_decoded(source), Box(*box))

    def source(self, prototype: int, rule: BoxRule) -> RGB | None:
        """The training image of the patch with its box, None where the prototype has none."""
        picture, box = self.checkpoint.picture(prototype, "source"), self.records(rule)[prototype].input_box
        return None if picture is None or box is None else draw_box(_decoded(picture), Box(*box))


def _inside(rgb: RGB, box: Box) -> RGB:
    """The pixels that a box touches, at least one."""
    shown = box.clipped(rgb.shape[1], rgb.shape[0])
    x0, y0, x1, y1 = floor(shown.x0), floor(shown.y0), ceil(shown.x1), ceil(shown.y1)
    return rgb[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]


def _decoded(picture: bytes) -> RGB:
    return load_image(io.BytesIO(picture)).rgb
