"""Which cells of a map show the object: told by masks, by boxes on whole images, or guessed from the place."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protoexplain.data.check import for_each
from protoexplain.data.loading import Crop, cut, geometry_of
from protoexplain.data.records import ImageRecord
from protoexplain.io.images import image_size, load_mask


def coverage(records: Sequence[ImageRecord], crop: Crop, map_size: Sequence[int]) -> Tensor:
    """The share of each cell that the object covers, float32 [N,H,W] in [0, 1].

    Args:
        records: With masks; or with boxes, where whole images are seen.  Without either the middle of the picture
            counts as the object.
        crop: How images are cut.
        map_size: (H, W).

    Raises:
        UserError: A mask cannot be read.
    """
    height, width = map_size
    shares = for_each(records, lambda record: _covered(record, crop, (width, height)))
    return torch.from_numpy(np.stack(shares))


def _covered(record: ImageRecord, crop: Crop, size: tuple[int, int]) -> NDArray[np.float32]:
    if record.mask is not None:
        mask = load_mask(record.mask)
        region = cut(mask, geometry_of(record, (mask.shape[1], mask.shape[0]), crop, size[0]))
        return _shrunk(region.astype(np.float32), size)
    if crop == "full" and record.box is not None:
        whole = np.zeros(image_size(record.path)[::-1], dtype=np.float32)
        x0, y0, x1, y1 = (round(edge) for edge in record.box.as_list())
        whole[max(y0, 0) : y1, max(x0, 0) : x1] = 1
        return _shrunk(whole, size)
    return _middle(size)


def _shrunk(covered: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(covered, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _middle(size: tuple[int, int]) -> NDArray[np.float32]:
    """1 inside the ellipse that touches the edges' middles at 80 % of the way, 0 outside."""
    x, y = np.meshgrid(*((np.arange(side) + 0.5) / side * 2 - 1 for side in size))
    return (x**2 + y**2 <= 0.8**2).astype(np.float32)
