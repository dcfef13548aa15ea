"""Decoded pixels of any kind as 8 bits a channel, which can be averaged."""

from __future__ import annotations

import numpy as np
from PIL import Image

from protoexplain.errors import UserError

_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
_RESCALED = "16-bit values were rescaled to 8 bits"
_DARK = "the 16-bit values use less than a sixteenth of their range, so that hardly anything is to be seen"
_FLOATS = "numbers from 0 to 1 were rescaled to 8 bits"
_CMYK = "CMYK colours were converted to RGB"


def is_sixteen_bit(image: Image.Image) -> bool:
    """Whether the file, not yet decoded, has 16 bits a channel; Pillow decodes colours of 16 bits to 8."""
    return image.mode in _SIXTEEN_BIT or ";16" in repr(getattr(image, "tile", ()))


def eight_bits_a_channel(image: Image.Image, sixteen: bool, name: str) -> tuple[Image.Image, list[str]]:
    """A decoded picture with 8 bits a channel and without a palette, and what was done to it.

    Args:
        image: The picture.
        sixteen: Whether its file has 16 bits a channel, as `is_sixteen_bit`.
        name: Of the file.

    Raises:
        UserError: Its values have no known range.
    """
    notices = [_RESCALED] if sixteen else []
    if image.mode in _SIXTEEN_BIT:
        values = np.asarray(image)
        return Image.fromarray(_eight_bits(values)), [*notices, *([_DARK] if 0 < values.max() < 1 << 12 else [])]
    if image.mode in ("I", "F"):
        return _from_numbers(image, name), [*notices, _FLOATS]
    if image.mode in ("1", "P", "PA") or "transparency" in image.info:
        return image.convert("RGBA" if image.has_transparency_data else "RGB"), notices
    return image, [*notices, *([_CMYK] if image.mode == "CMYK" else [])]


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """uint16 of any byte order -> uint8 with 65535 -> 255, rounded."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _from_numbers(image: Image.Image, name: str) -> Image.Image:
    """8-bit grey of floating-point numbers from 0 to 1.

    Raises:
        UserError: Whole numbers, or any beyond 0 and 1, whose range nobody knows.
    """
    values = np.asarray(image)
    if image.mode == "F" and values.min() >= 0 and values.max() <= 1:
        return Image.fromarray(np.rint(values * 255).astype(np.uint8))
    kind = "32-bit integer" if image.mode == "I" else "floating point"
    raise UserError(
        f"the picture has {kind} pixels, from {values.min():g} to {values.max():g}, whose range of values is unknown",
        name,
        "save it with 8 or 16 bits per channel, or as numbers from 0 to 1",
    )
