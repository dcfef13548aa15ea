"""Heat maps and boxes laid over pictures, as arrays uint8 [H,W,3].

Colours are safe for colour-blind eyes: `inferno` heat, yellow boxes with a dark rim, blue for and orange against.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from protoexplain.data.geometry import Box

if TYPE_CHECKING:
    from protoexplain.explanations.attribution.methods import Attribution
    from protoexplain.explanations.evidence.local import Explanation
    from protoexplain.explanations.evidence.match import Match

RGB = NDArray[np.uint8]
BOX_COLOUR, RIM_COLOUR = (255, 221, 51), (20, 20, 20)
FOR_COLOUR, AGAINST_COLOUR = "#1b6ca8", "#c2571a"
_BGR = cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_INFERNO)
_HEAT: RGB = np.asarray(_BGR, np.uint8).reshape(256, 3)[:, ::-1]
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_CLIPPED = 99.5
"""Percentile of an attribution at which its colours end."""


def heat_level(heat: NDArray[np.float32], ends: tuple[float, float] | None = None) -> NDArray[np.float32]:
    """A heat map [H,W] in [0, 1].

    Args:
        heat: Of any unit.
        ends: What becomes 0 and 1; by default the map's own lowest and highest value, however weak that is.
    """
    low, high = ends or (float(heat.min()), float(heat.max()))
    return np.clip((heat - low) / (high - low), 0, 1) if high > low else np.zeros_like(heat)


def heat_colours_of(level: NDArray[np.float32]) -> RGB:
    """Levels [H,W] in [0, 1] as colours [H,W,3] of the map `inferno`."""
    return _HEAT[(level * 255).round().astype(np.uint8)]


def heat_overlay(
    rgb: RGB, heat: NDArray[np.float32], opacity: float = 0.75, ends: tuple[float, float] | None = None
) -> RGB:
    """Lay a heat map [H,W] over an image [H,W,3]; cold places stay visible, hot places are covered by `opacity`.

    `ends` are those of `heat_level`.
    """
    level = heat_level(heat, ends)
    colours = heat_colours_of(level).astype(np.float32)
    alpha = (opacity * level)[..., None]
    return (rgb * (1 - alpha) + colours * alpha).round().astype(np.uint8)


def effect_overlay(rgb: RGB, heat: NDArray[np.float32], opacity: float = 0.8) -> RGB:
    """Lay signed effects [H,W] over an image [H,W,3] in pale grey: blue raises, orange lowers, zero is grey."""
    pale = (255 + 2 * (rgb @ _LUMINANCE))[..., None] / 3
    highest = float(np.percentile(np.abs(heat), _CLIPPED)) or float(np.abs(heat).max())
    level = np.clip(np.abs(heat) / highest, 0, 1) if highest > 0 else np.zeros_like(heat)
    colours = np.where((heat >= 0)[..., None], _rgb(FOR_COLOUR), _rgb(AGAINST_COLOUR))
    alpha = (opacity * level)[..., None]
    return (pale * (1 - alpha) + colours * alpha).round().astype(np.uint8)


def attribution_overlay(rgb: RGB, attribution: Attribution) -> RGB:
    """An attribution over the picture [S,S,3] that it is about; single pixels that outshine all others are clipped."""
    if attribution.signed:
        return effect_overlay(rgb, attribution.heat)
    return heat_overlay(rgb, np.minimum(attribution.heat, np.percentile(attribution.heat, _CLIPPED)))


def _rgb(colour: str) -> NDArray[np.float32]:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.float32)


def draw_box(rgb: RGB, box: Box, width: int | None = None) -> RGB:
    """A copy of the image with a box drawn inside its own edges; none where it would frame the whole image."""
    height, total = rgb.shape[:2]
    if tuple(map(round, box.as_list())) == (0, 0, total, height):
        return rgb.copy()
    line = width or max(1, round(min(height, total) / 110))
    corners = ((round(box.x0), round(box.y0)), (max(round(box.x1) - 1, 0), max(round(box.y1) - 1, 0)))
    drawn = np.ascontiguousarray(rgb.copy())
    cv2.rectangle(drawn, *corners, RIM_COLOUR, line + 2, cv2.LINE_AA)
    cv2.rectangle(drawn, *corners, BOX_COLOUR, line, cv2.LINE_AA)
    return drawn


def input_region(explanation: Explanation, rgb: RGB) -> RGB:
    """The part of the image that the model saw, a pixel at least."""
    crop = explanation.geometry.crop
    x0, y0 = int(crop.x0), int(crop.y0)
    return rgb[y0 : max(int(crop.y1), y0 + 1), x0 : max(int(crop.x1), x0 + 1)]


def match_heat(explanation: Explanation, match: Match, rgb: RGB) -> RGB:
    """Heat map of a match over the region that the model saw."""
    region = input_region(explanation, rgb)
    heat = explanation.heat(match.prototype, region.shape[1], region.shape[0])
    return heat_overlay(region, heat, ends=match.heat_range)


def png(rgb: RGB) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    return buffer.getvalue()
