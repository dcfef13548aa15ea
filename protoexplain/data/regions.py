"""Where the object is in what the network sees of an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from protoexplain.data.geometry import Geometry
from protoexplain.data.records import ImageRecord
from protoexplain.io.images import load_mask


def object_region(record: ImageRecord, geometry: Geometry) -> NDArray[np.bool_] | None:
    """Where the object is in the source pixels that the network saw: its mask, else its box.

    None where neither is there, the mask is smaller than the image, or the box is all that the network saw.
    """
    x0, y0, x1, y1 = map(int, geometry.crop.as_list())
    if record.mask is not None:
        mask = load_mask(record.mask)
        return mask[y0:y1, x0:x1] if mask.shape[0] >= y1 and mask.shape[1] >= x1 else None
    if record.box is None:
        return None
    left, top, right, bottom = (max(0, int(edge)) for edge in record.box.as_list())
    seen = np.zeros((y1, x1), dtype=bool)
    seen[top:bottom, left:right] = True
    return None if seen[y0:, x0:].all() else seen[y0:, x0:]
