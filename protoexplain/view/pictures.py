"""Pictures by reference: where a picture comes from, what it shows, and the rectangles that are drawn over it."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from protoexplain.data.geometry import Box
from protoexplain.explanations.overlays import RGB, heat_colours_of, heat_level
from protoexplain.io.images import load_image

_QUALITY = 86
HAZE = 1.5
"""The larger, the clearer cold places stay under a heat layer."""
_SHADES = 128
"""Of a heat layer: more are not told apart, and a palette is encoded ten times as fast as colours."""


@dataclass(frozen=True)
class Region:
    """A rectangle in percent of a picture, and what is written at it."""

    left: float
    top: float
    width: float
    height: float
    text: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture.

    Args:
        source: What stands for it: a data URI with the picture itself, an address, or the key of an array.
        alt: What it shows.
        width: In pixels.
        height: In pixels.
        boxes: Drawn over it.
    """

    source: str
    alt: str
    width: int
    height: int
    boxes: tuple[Region, ...] = ()

    @property
    def region(self) -> Region | None:
        """The box without text: in a whole image the part that the model saw, in a training picture the patch."""
        return next((box for box in self.boxes if not box.text), None)

    @property
    def marks(self) -> tuple[Region, ...]:
        """The boxes with text: in a whole image those of the rows."""
        return tuple(box for box in self.boxes if box.text)


def region_of(box: Sequence[float], frame: Box, text: str = "") -> Region:
    """Where the edges (x0, y0, x1, y1) of a box lie in a frame, all in the same pixels."""
    inside = Box(*box)
    return Region(
        100 * (inside.x0 - frame.x0) / frame.width,
        100 * (inside.y0 - frame.y0) / frame.height,
        100 * inside.width / frame.width,
        100 * inside.height / frame.height,
        text,
    )


def encoded(rgb: RGB, alt: str, *boxes: Region, side: int | None = None) -> Picture:
    """A picture as JPEG inside the page, scaled down, where needed, to at most `side` pixels on both sides."""
    small = rgb if side is None else fitted(rgb, side)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(small)).save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return Picture(_data_uri(buffer.getvalue(), "jpeg"), alt, small.shape[1], small.shape[0], boxes)


def stored(content: bytes, alt: str, *boxes: Region) -> Picture:
    """An encoded picture of a checkpoint as it is.

    Raises:
        UserError: It cannot be read.
    """
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return Picture(_data_uri(content, kind), alt, *load_image(io.BytesIO(content)).size, boxes)


def heat_layer(heat: NDArray[np.float32], alt: str, ends: tuple[float, float] | None = None) -> Picture:
    """A heat map [H,W] to be laid over a picture, cold places see-through; `ends` are those of `heat_level`."""
    shades = np.linspace(0, 1, _SHADES, dtype=np.float32)
    layer = Image.fromarray((heat_level(heat, ends) * (_SHADES - 1)).round().astype(np.uint8)).convert("P")
    layer.putpalette(heat_colours_of(shades).tobytes())
    buffer = io.BytesIO()
    opacity = (255 * shades**HAZE).round().astype(np.uint8)
    layer.save(buffer, "PNG", compress_level=1, transparency=opacity.tobytes())
    return Picture(_data_uri(buffer.getvalue(), "png"), alt, heat.shape[1], heat.shape[0])


def fitted(rgb: RGB, side: int) -> RGB:
    """Scaled down, where needed, to at most `side` pixels on both sides."""
    if max(rgb.shape[:2]) <= side:
        return rgb
    image = Image.fromarray(np.ascontiguousarray(rgb))
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(image)


def cut_out(rgb: RGB, box: Sequence[float]) -> RGB:
    """The pixels inside a box, at least one."""
    height, width = rgb.shape[:2]
    inside = Box(*box).clipped(width, height)
    x0, y0 = min(int(inside.x0), width - 1), min(int(inside.y0), height - 1)
    return rgb[y0 : max(round(inside.y1), y0 + 1), x0 : max(round(inside.x1), x0 + 1)]


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
