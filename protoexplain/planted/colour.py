"""Colours named by hue, saturation and lightness, so that changing one leaves the other two as seen alone.

The space is OKLCh (Björn Ottosson, "A perceptual color space for image processing", 2020); saturation is the
chroma relative to the largest one that plumage can have at the same hue and lightness.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Lut = NDArray[np.uint8]

_TO_LMS: Final = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_TO_LINEAR: Final = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def _linear_rgb(lightness: Floats, a: Floats, b: Floats) -> Floats:
    lms = np.stack([lightness, a, b], axis=-1) @ _TO_LMS.T
    linear: Floats = lms**3 @ _TO_LINEAR.T
    return linear


def _to_bytes(linear: Floats) -> Lut:
    linear = np.clip(linear, 0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)


@lru_cache(maxsize=4096)
def largest_chroma(hue: float, lightness: float) -> float:
    """The largest chroma of plumage at a hue in degrees and a lightness: what sRGB shows, up to 0.2."""
    chroma = np.linspace(0.0, 0.2, 401)
    angle = np.radians(hue)
    linear = _linear_rgb(np.full_like(chroma, lightness), chroma * np.cos(angle), chroma * np.sin(angle))
    inside = np.all((linear >= -1e-4) & (linear <= 1 + 1e-4), axis=-1)
    outside = np.flatnonzero(~inside)
    return float(chroma[max(int(outside[0]) - 1, 0)] if outside.size else chroma[-1])


def rgb(hue: float, saturation: float, lightness: float) -> tuple[int, int, int]:
    """One sRGB colour, 0 to 255, from hue in degrees, saturation and lightness from 0 to 1."""
    red, green, blue = shades(hue, saturation, lightness, 0.0)[0]
    return int(red), int(green), int(blue)


def shades(hue: float, saturation: float, lightness: float, spread: float) -> Lut:
    """256 shades around one colour, `lightness - spread` to `lightness + spread`, as (256, 3) sRGB bytes.

    Hue and chroma stay those of the middle shade as far as sRGB can show them.
    """
    steps = np.clip(np.linspace(lightness - spread, lightness + spread, 256), 0.04, 0.98)
    limits = [largest_chroma(hue, round(float(step), 2)) for step in steps[::15]]
    limit = np.interp(np.arange(256), np.arange(0, 256, 15), limits)
    chroma = np.minimum(saturation * largest_chroma(hue, lightness), limit)
    angle = np.radians(hue)
    return _to_bytes(_linear_rgb(steps, chroma * np.cos(angle), chroma * np.sin(angle)))


def gradient(stops: Floats) -> Lut:
    """256 shades between evenly spaced stops (lightness, chroma, hue in degrees), as (256, 3) sRGB bytes."""
    lightness, chroma, angle = stops[:, 0], stops[:, 1], np.radians(stops[:, 2])
    at, where = np.linspace(0, len(stops) - 1, 256), np.arange(len(stops))
    a, b = chroma * np.cos(angle), chroma * np.sin(angle)
    return _to_bytes(_linear_rgb(*(np.interp(at, where, values) for values in (lightness, a, b))))
