"""The pictures of prototypes inside a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from protoexplain.checkpoint.prototypes import PrototypeRecord
from protoexplain.data.geometry import Box
from protoexplain.errors import UserError
from protoexplain.explanations.prototypes.patch_pictures import PatchPictures
from protoexplain.io.images import load_image
from protoexplain.view.pictures import Picture, encoded, region_of, stored

SOURCE_SIDE = 224


@dataclass(frozen=True)
class InlinePrototypePictures:
    """The pictures of prototypes as data URIs, their boxes drawn by the default rule.

    Args:
        pictures: Those of the checkpoint.
        images: Id of a training image -> its file; whole images are then shown, else what the network saw of them.
    """

    pictures: PatchPictures
    images: Mapping[str, Path]

    def patch(self, prototype: int) -> Picture | None:
        """The part that stands for a prototype; None where there is none."""
        content = self.pictures.encoded(prototype, "patch")
        return None if content is None else stored(content, f"Prototype {prototype}")

    def source(self, prototype: int) -> Picture | None:
        """The training picture with the part's box; None where there is none."""
        record = self.pictures.records()[prototype]
        alt = f"Training picture {record.image_id}, the part marked by a box"
        whole = self._whole(record, alt)
        if whole is not None:
            return whole
        content = self.pictures.encoded(prototype, "source")
        if content is None:
            return None
        found = stored(content, alt)
        frame = Box(0, 0, found.width, found.height)
        return replace(found, boxes=(region_of(record.input_box, frame),) if record.input_box else ())

    def _whole(self, record: PrototypeRecord, alt: str) -> Picture | None:
        """From the data set; None where it does not hold the picture that the checkpoint knows."""
        path = self.images.get(record.image_id or "")
        if path is None or record.box is None or record.source_size is None:
            return None
        try:
            loaded = load_image(path)
        except UserError:
            return None
        if loaded.size != tuple(record.source_size):
            return None
        box = region_of(record.box, Box(0, 0, *loaded.size))
        return encoded(loaded.rgb, alt, box, side=SOURCE_SIDE)
