"""Changes of one attribute in one place of a picture, while all else stays as it is.

The published changes act on whole pictures and on several attributes at once: less contrast is also less colour, and
smoothing removes fine noise but no pattern.  These change what their names say, within a mask, in both directions
where there are two (greyer and more vivid, flatter and richer in contrast).  Colours are changed in CIE Lab; waves and
blurs are measured in the picture's own size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from protoexplain.explanations.characteristics.perturbations import RGB

Mask = NDArray[np.bool_]
Lab = NDArray[np.float32]

HUE_TURN: Final = 0.3
"""Of the colour circle, in both directions."""
GREY, VIVID = 0.2, 60.0
"""Factor of the colours, and the mean chroma (Lab units) that is aimed at."""
FLAT, RICH = 0.3, 15.0
"""Factor of the detail, and its standard deviation in lightness (Lab units) that is aimed at."""
LIGHTER: Final = 15.0
"""Units of lightness, in both directions."""
MOST: Final = 10.0
"""Largest factor."""
DETAIL: Final = 1 / 27
"""What is finer than this share of the picture's side counts as detail."""
PATTERN_WAVE: Final = (1 / 10, 3 / 160)
"""Period and amplitude of the wave that breaks patterns up, as shares of the side."""
OUTLINE_WAVE: Final = (100 / 160, 10 / 160)
"""Period and amplitude of the wave that bends outlines and leaves patterns alone."""
STRETCH: Final = 1.6
"""How much longer or shorter a place becomes along its main axes."""
FADE: Final = 2.0
"""Squared distance, in squares of two standard deviations of the place, at which stretching has faded out."""
REACH: Final = {"shape": 2 * OUTLINE_WAVE[1], "texture": -2 * PATTERN_WAVE[1]}
"""How much wider than the place a change is, as a share of the side: bending takes in the outline and what surrounds
it, breaking up patterns stays away from it."""
_RIM: Final = 1 / 80
"""Width of the soft edge of the mask, as a share of the side."""


def in_place(rgb: RGB, mask: Mask) -> dict[str, tuple[RGB, ...]]:
    """All changes of a place.

    Args:
        rgb: uint8 [H,W,3].
        mask: [H,W], True in the place.

    Returns:
        Characteristic -> one or two changed pictures; outside the mask and its soft edge they are as before.
    """
    side = float(np.sqrt(mask.size))
    result = {}
    for name, change in CHANGES.items():
        reach = REACH.get(name, 0.0) * side
        soft = cv2.GaussianBlur(_grown(mask, round(reach)), (0, 0), _RIM * side)[..., None]
        versions = [rgb + soft * (changed.astype(np.float32) - rgb) for changed in change(rgb, mask, side)]
        result[name] = tuple((version + 0.5).clip(0, 255).astype(np.uint8) for version in versions)
    return result


def _grown(mask: Mask, pixels: int) -> NDArray[np.float32]:
    """The mask, wider by some pixels on all sides, or narrower."""
    if pixels == 0:
        return mask.astype(np.float32)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(pixels) + 1,) * 2)
    return np.asarray((cv2.dilate if pixels > 0 else cv2.erode)(mask.astype(np.float32), disc))


def _hue(rgb: RGB, mask: Mask, side: float) -> list[RGB]:
    lab = _to_lab(rgb)
    return [_turned(lab, turn) for turn in (HUE_TURN, -HUE_TURN)]


def _turned(lab: Lab, turn: float) -> RGB:
    cos, sin = np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)
    a, b = lab[..., 1], lab[..., 2]
    return _to_rgb(np.stack([lab[..., 0], cos * a - sin * b, sin * a + cos * b], -1))


def _saturation(rgb: RGB, mask: Mask, side: float) -> list[RGB]:
    lab = _to_lab(rgb)
    chroma = float(np.hypot(lab[..., 1], lab[..., 2])[mask].mean())
    return [_to_rgb(lab * np.array([1, factor, factor])) for factor in (GREY, _up_to(VIVID, chroma))]


def _contrast(rgb: RGB, mask: Mask, side: float) -> list[RGB]:
    lab = _to_lab(rgb)
    base = _blurred_within(lab, mask, DETAIL * side)
    detail = lab - base
    spread = float(detail[..., 0][mask].std())
    return [_to_rgb(base + factor * detail) for factor in (FLAT, _up_to(RICH, spread))]


def _brightness(rgb: RGB, mask: Mask, side: float) -> list[RGB]:
    lab = _to_lab(rgb)
    return [_to_rgb(lab + np.array([by, 0, 0])) for by in (-LIGHTER, LIGHTER)]


def _texture(rgb: RGB, mask: Mask, side: float) -> list[RGB]:
    return [_waved(rgb, *(share * side for share in PATTERN_WAVE))]


def _shape(rgb: RGB, mask: Mask, side: float) -> list[RGB]:
    """Bent, and stretched or squeezed along and across the longest extent of the place."""
    bent = _waved(rgb, *(share * side for share in OUTLINE_WAVE))
    return [bent, *(_stretched(rgb, mask, axis, factor) for axis in (0, 1) for factor in (STRETCH, 1 / STRETCH))]


def _stretched(rgb: RGB, mask: Mask, axis: int, factor: float) -> RGB:
    """Longer by `factor` along a main axis of the mask (0 the shortest); the effect fades out around the mask."""
    points = np.argwhere(mask).astype(np.float64)
    centre = points.mean(0)
    spread, axes = np.linalg.eigh(np.cov((points - centre).T) + np.eye(2))
    away = np.indices(mask.shape).transpose(1, 2, 0) - centre
    along = away @ axes
    distance = ((along / (2 * np.sqrt(spread))) ** 2).sum(2)
    pull = (1 / factor - 1) * np.exp(-((distance / FADE) ** 2))
    source = np.indices(mask.shape).transpose(1, 2, 0) + (pull * along[..., axis])[..., None] * axes[:, axis]
    rows, columns = source.astype(np.float32).transpose(2, 0, 1)
    return np.asarray(cv2.remap(rgb, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101))


CHANGES: Final[dict[str, Callable[[RGB, Mask, float], list[RGB]]]] = {
    "contrast": _contrast,
    "saturation": _saturation,
    "hue": _hue,
    "shape": _shape,
    "texture": _texture,
    "brightness": _brightness,
}


def _waved(rgb: RGB, period: float, amplitude: float) -> RGB:
    rows, columns = np.indices(rgb.shape[:2], np.float32)
    right = amplitude * np.sin(2 * np.pi / period * rows)
    down = amplitude * np.sin(2 * np.pi / period * columns)
    return np.asarray(cv2.remap(rgb, columns - right, rows - down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101))


def _blurred_within(lab: Lab, mask: Mask, sigma: float) -> Lab:
    """Blur that takes no account of what lies outside the mask, so that the outline of the place is no detail."""
    weight = mask.astype(np.float32)[..., None]
    sums = cv2.GaussianBlur(np.concatenate([lab * weight, weight], -1), (0, 0), sigma)
    return np.asarray(sums[..., :3] / np.maximum(sums[..., 3:], 1e-3))


def _up_to(target: float, now: float) -> float:
    return float(np.clip(target / max(now, 1e-6), 1, MOST))


def _to_lab(rgb: RGB) -> Lab:
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))


def _to_rgb(lab: NDArray[np.floating]) -> RGB:
    rgb = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
    return (np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8)
