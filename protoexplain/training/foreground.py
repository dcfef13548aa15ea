"""Which cells of a map show the object: told by masks, by boxes on whole images, or guessed from the place."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protoexplain.data.check import for_each
from protoexplain.data.loading import Crop, geometry_of
from protoexplain.data.records import ImageRecord
from protoexplain.data.regions import object_region
from protoexplain.io.images import image_size

ON_OBJECT = 0.5
"""A cell shows the object where the object covers at least this share of it."""


def coverage(records: Sequence[ImageRecord], crop: Crop, map_size: Sequence[int]) -> Tensor:
    """The share of each cell that the object covers, float32 [N,H,W] in [0, 1].

    Args:
        records: With masks; or with boxes, where whole images are seen.  Without either the middle of the picture
            counts as the object.
        crop: How images are cut.
        map_size: (H, W).

    Raises:
        UserError: An image or a mask cannot be read.
    """
    height, width = map_size
    shares = for_each(records, lambda record: _covered(record, crop, (width, height)))
    return torch.from_numpy(np.stack(shares))


def _covered(record: ImageRecord, crop: Crop, size: tuple[int, int]) -> NDArray[np.float32]:
    region = object_region(record, geometry_of(record, image_size(record.path), crop, 1))
    if region is None:
        return _middle(size)
    return np.asarray(cv2.resize(region.astype(np.float32), size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _middle(size: tuple[int, int]) -> NDArray[np.float32]:
    """1 inside the ellipse that touches the edges' middles at 80 % of the way, 0 outside."""
    x, y = np.meshgrid(*((np.arange(side) + 0.5) / side * 2 - 1 for side in size))
    return (x**2 + y**2 <= 0.8**2).astype(np.float32)
