"""Where the object is in what the network sees of an image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from protoexplain.data.check import for_each
from protoexplain.data.geometry import Geometry
from protoexplain.data.records import ImageRecord, ImageSet
from protoexplain.io.images import has_alpha, load_alpha, load_mask


def with_alpha_masks(image_set: ImageSet) -> ImageSet:
    """The same data set, where images with an alpha channel and without a mask take that channel for one."""
    alpha = for_each(image_set.records, lambda record: record.mask is None and has_alpha(record.path))
    records = (
        replace(record, mask=record.path) if has else record
        for record, has in zip(image_set.records, alpha, strict=True)
    )
    return replace(image_set, records=tuple(records))


def object_mask(record: ImageRecord) -> NDArray[np.bool_] | None:
    """Which pixels of an image show the object by its mask; None without one, or where an alpha channel hides nothing
    or everything.

    Raises:
        UserError: The mask cannot be read.
    """
    if record.mask is None:
        return None
    if record.mask != record.path:
        return load_mask(record.mask)
    mask = load_alpha(record.path)
    return mask if mask.any() and not mask.all() else None


def object_region(record: ImageRecord, geometry: Geometry) -> NDArray[np.bool_] | None:
    """Where the object is in the source pixels that the network saw: its mask, else its box.

    None where neither is there, the mask is smaller than the image, or the box is all that the network saw.
    """
    x0, y0, x1, y1 = map(int, geometry.crop.as_list())
    mask = object_mask(record)
    if mask is not None:
        return mask[y0:y1, x0:x1] if mask.shape[0] >= y1 and mask.shape[1] >= x1 else None
    if record.box is None:
        return None
    left, top, right, bottom = (max(0, int(edge)) for edge in record.box.as_list())
    seen = np.zeros((y1, x1), dtype=bool)
    seen[top:bottom, left:right] = True
    return None if seen[y0:, x0:].all() else seen[y0:, x0:]
