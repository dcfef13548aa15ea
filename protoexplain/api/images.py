"""Images as users have them: files, PIL images, arrays and tensors."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from protoexplain.errors import UserError

ImageLike = str | Path | Image.Image | NDArray[np.generic] | Tensor
"""A file, a PIL image, an array [H,W] or [H,W,3] or a tensor [3,H,W]; whole numbers are 0 to 255, others 0 to 1."""


def as_file(image: ImageLike) -> Path | io.BytesIO:
    """A file as it is, anything else as a lossless file in memory, so that all images are checked and read alike.

    Raises:
        UserError: It is no image, or its values lie outside of their range.
    """
    if isinstance(image, str | Path):
        return Path(image)
    picture = _upright(image) if isinstance(image, Image.Image) else Image.fromarray(_as_uint8(image))
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=0)
    stream.seek(0)
    return stream


def _upright(image: Image.Image) -> Image.Image:
    """In RGB, with transparency where there is any."""
    try:
        upright = ImageOps.exif_transpose(image)
        return upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    except Exception as error:  # whatever a file that is read only now can bring up
        what = f"the picture is damaged ({type(error).__name__}: {error})".replace("\n", " ")
        raise UserError(what, str(getattr(image, "filename", "")), "replace the file or leave it out") from error


def _as_uint8(image: NDArray[np.generic] | Tensor) -> NDArray[np.uint8]:
    """[H,W] or [H,W,3]."""
    if isinstance(image, Tensor):
        array = image.detach().cpu().numpy()
        array = array.transpose(1, 2, 0) if array.ndim == 3 else array
    else:
        array = np.asarray(image)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or array.size == 0:
        fix = "give [H,W] or [H,W,3] as an array, [3,H,W] as a tensor"
        raise UserError(f"an image cannot have the shape {array.shape}", "", fix)
    if array.dtype == bool or not np.issubdtype(array.dtype, np.number):
        raise UserError(f"an image cannot hold values of the type {array.dtype}", "", "give uint8, or floats of 0 to 1")
    if not np.issubdtype(array.dtype, np.integer):
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise UserError("values of the image lie outside of 0 to 1", "", "divide them by 255, or give uint8")
        array = (array * 255).round()
    elif array.min() < 0 or array.max() > 255:
        raise UserError("values of the image lie outside of 0 to 255", "", "give uint8")
    return array.astype(np.uint8)
