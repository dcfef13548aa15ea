"""Pictures inside a report: data URIs, with the boxes that are drawn over them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from protoexplain.data.geometry import Box
from protoexplain.explain.overlays import RGB
from protoexplain.io.images import load_image

_QUALITY = 86


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
        source: The picture itself as a data URI.
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

    def marked(self, alt: str, *boxes: Region) -> Picture:
        """The same with other words and boxes."""
        return replace(self, alt=alt, boxes=boxes)


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


def drawn(rgb: RGB, side: int, alt: str = "", *boxes: Region) -> Picture:
    """A picture as JPEG, scaled down, where needed, to at most `side` pixels on both sides."""
    image = Image.fromarray(np.ascontiguousarray(rgb))
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return Picture(_data_uri(buffer.getvalue()), alt, *image.size, boxes)


def stored(content: bytes, alt: str, *boxes: Region) -> Picture:
    """An encoded picture of a checkpoint as it is.

    Raises:
        UserError: It cannot be read.
    """
    return Picture(_data_uri(content), alt, *load_image(io.BytesIO(content)).size, boxes)


def cut_out(rgb: RGB, box: Sequence[float]) -> RGB:
    """The pixels inside a box, at least one."""
    height, width = rgb.shape[:2]
    inside = Box(*box).clipped(width, height)
    x0, y0 = min(int(inside.x0), width - 1), min(int(inside.y0), height - 1)
    return rgb[y0 : max(round(inside.y1), y0 + 1), x0 : max(round(inside.x1), x0 + 1)]


def _data_uri(content: bytes) -> str:
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
