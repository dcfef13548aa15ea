"""Six ways to change a picture, each of which takes away or alters one visible characteristic.

Nauta et al. 2020, "This Looks Like That, Because ... Explaining Prototypes for Interpretable Image Recognition": to
the pixel, with the published strengths as defaults.  All work on RGB uint8 [H,W,3] at its native size, before a
network's resizing; none draws random numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

RGB = NDArray[np.uint8]
_PERIOD: Final = 40.0
"""Pixels from crest to crest of the shape wave."""
_PATCH, _SEARCH = 7, 21
"""Sides in pixels of the patches that non-local means compares, and of the window that it searches."""


@dataclass(frozen=True)
class Modification:
    """One way to change a picture.

    Args:
        name: Of the characteristic.
        label: What is changed, for people.
        strength: Published default.
        low: Smallest sensible strength.
        high: Largest sensible strength.
        neutral: The strength that changes nothing.
        unit: What the strength counts.
        change: (RGB uint8 [H,W,3], strength) -> the same shape.
    """

    name: str
    label: str
    strength: float
    low: float
    high: float
    neutral: float
    unit: str
    change: Callable[[RGB, float], RGB]

    def __call__(self, rgb: RGB, strength: float | None = None) -> RGB:
        """The changed picture, uint8 [H,W,3]; a copy where the strength is neutral.

        Args:
            rgb: uint8 [H,W,3].
            strength: In the unit of the modification; the published one by default.
        """
        amount = self.strength if strength is None else strength
        return rgb.copy() if amount == self.neutral else self.change(rgb, amount)


def _contrast(rgb: RGB, factor: float) -> RGB:
    return np.asarray(ImageEnhance.Contrast(Image.fromarray(rgb)).enhance(factor))


def _saturation(rgb: RGB, factor: float) -> RGB:
    return np.asarray(ImageEnhance.Color(Image.fromarray(rgb)).enhance(factor))


def _brightness(rgb: RGB, factor: float) -> RGB:
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(rgb)).enhance(factor))


def _hue(rgb: RGB, turns: float) -> RGB:
    """Turn the colour circle of 256 steps by a whole number of them; greys stay as they are."""
    hsv = np.array(Image.fromarray(rgb).convert("HSV"))
    hsv[..., 0] += np.uint8(int(turns * 255) % 256)
    return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))


def _shape(rgb: RGB, amplitude: float) -> RGB:
    """Shift rows to the right, then columns down, along a sine; what leaves the picture comes in opposite."""
    height, width = rgb.shape[:2]
    return rgb.reshape(height * width, -1).take(_wave(height, width, amplitude), axis=0)


@lru_cache(maxsize=64)
def _wave(height: int, width: int, amplitude: float) -> NDArray[np.int64]:
    """[H,W]: the flat index of the pixel that each pixel is taken from; shifts are truncated towards zero."""
    rows, columns = np.arange(height)[:, None], np.arange(width)[None]
    row = (rows - _shifts(width, amplitude)) % height
    column = (columns - _shifts(height, amplitude)[row]) % width
    return np.asarray(row * width + column)


def _shifts(count: int, amplitude: float) -> NDArray[np.int64]:
    wave = np.sin(2 / _PERIOD * np.pi * np.arange(count))
    return np.trunc(amplitude * wave).astype(np.int64)


def _texture(rgb: RGB, strength: float) -> RGB:
    """Non-local means in Lab, as strong on colours as on lightness."""
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    smooth = cv2.fastNlMeansDenoisingColored(bgr, None, strength, strength, _PATCH, _SEARCH)
    return np.ascontiguousarray(smooth[..., ::-1])


MODIFICATIONS: Final[dict[str, Modification]] = {
    entry.name: entry
    for entry in (
        Modification("contrast", "contrast", 0.45, 0.0, 2.0, 1.0, "times the original", _contrast),
        Modification("saturation", "strength of colours", 0.7, 0.0, 2.0, 1.0, "times the original", _saturation),
        Modification("hue", "hue", 0.1, -0.5, 0.5, 0.0, "turns of the colour circle", _hue),
        Modification("shape", "bending of outlines", 4.0, 0.0, 12.0, 0.0, "pixels", _shape),
        Modification("texture", "smoothing of texture", 4.0, 0.0, 30.0, 0.0, "grey levels", _texture),
        Modification("brightness", "brightness", 0.8, 0.0, 2.0, 1.0, "times the original", _brightness),
    )
}
