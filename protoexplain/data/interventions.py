"""Images drawn again without a part of the object or of its surroundings, and where these show.

Where a data set holds such images, or can draw them, explanations can be put to the test: what happens to the answer
without what they name?  P parts, Z masks, I items: the parts, then the objects of the background of an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from protoexplain.data.class_parts import ClassParts, PartContrast, PartSet
from protoexplain.data.geometry import Geometry
from protoexplain.data.records import ImageRecord

WIDENED = 5
"""Side of the square by which masks are dilated, in pixels of the image (Hesse et al. 2023)."""


@dataclass(frozen=True)
class Removal:
    """What is taken out of an image.

    Args:
        parts: Set of parts of the object.
        item: Number of an object of the background, None for none of them.
        hybrid: Whether the image is not the record's own, but the one of its contrast.
    """

    parts: PartSet = 0
    item: int | None = None
    hybrid: bool = False


@dataclass(frozen=True, eq=False)
class PartMap:
    """Which item shows at each pixel of an image.

    Args:
        labels: uint8 [H,W] number of a mask, 0 where nothing of interest shows.
        items: The item that each mask belongs to, [Z], that of label 1 first; a part may have a mask for each side.
    """

    labels: NDArray[np.uint8]
    items: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class PartMasks:
    """Where the items show in an input of side S.

    Args:
        plain: bool [Z,S,S].
        dilated: bool [Z,S,S], wider by two pixels of the image.
        items: int64 [Z], the item of each mask.
    """

    plain: NDArray[np.bool_]
    dilated: NDArray[np.bool_]
    items: NDArray[np.int64]


class Interventions(Protocol):
    """Images without parts, of a data set."""

    @property
    def class_parts(self) -> ClassParts:
        """What the classes are made of."""

    @property
    def most_objects(self) -> int:
        """The largest number of objects in the background of an image."""

    def objects(self, record: ImageRecord) -> int:
        """How many objects the background of an image has."""

    def image(self, record: ImageRecord, removal: Removal) -> NDArray[np.uint8] | None:
        """The image [H,W,3] without something; None where it is not at hand."""

    def part_map(self, record: ImageRecord, hybrid: bool = False) -> PartMap:
        """Where the items show in the image, or in that of its contrast."""

    def contrast(self, record: ImageRecord) -> PartContrast | None:
        """Two classes, and the parts of an image that each of them has; None where there are no such classes."""


def masks_in_input(part_map: PartMap, geometry: Geometry) -> PartMasks:
    """The masks cut and resized as the image was, by nearest pixels.

    Masks are dilated before, as published for images that are not resized.
    """
    x0, y0, x1, y1 = map(int, geometry.crop.as_list())
    size, square = geometry.input_size, np.ones((WIDENED, WIDENED), np.uint8)

    def resized(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return cv2.resize(mask[y0:y1, x0:x1], (size, size), interpolation=cv2.INTER_NEAREST_EXACT) > 0

    shapes = [(part_map.labels == label).astype(np.uint8) for label in range(1, len(part_map.items) + 1)]
    plain = [resized(mask) for mask in shapes]
    dilated = [resized(cv2.dilate(mask, square).astype(np.uint8)) for mask in shapes]
    return PartMasks(np.stack(plain), np.stack(dilated), np.array(part_map.items))
