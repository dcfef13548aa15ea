"""A white page on which texts, bars and pictures are placed in inches from its upper left corner."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from protoexplain.explanations.overlays import RGB

DPI, POINTS = 100, 72
INK, PAPER = "#000000", "#ffffff"
_COMPRESSION = 3
"""Of PNG, 0 to 9: twice as fast as the usual 6, and the files are hardly larger."""
_BASELINE = 0.76
"""Where a line of letters stands, in heights of a letter below its upper end."""
_ENLARGED = 3
"""Pictures that are enlarged by more show their pixels."""


class Page:
    """What is drawn is on it at once.

    Args:
        width: Inches.
        height: Inches.
    """

    def __init__(self, width: float, height: float) -> None:
        self._image = Image.new("RGB", (round(width * DPI), round(height * DPI)), PAPER)
        self._draw = ImageDraw.Draw(self._image)

    def text(
        self,
        text: str,
        x: float,
        y: float,
        size: float,
        *,
        centred: bool = False,
        bold: bool = False,
        spacing: float = 1.2,
        colour: str = INK,
    ) -> None:
        """Write lines below `y` and to the right of `x`, or centred on `x`.

        Args:
            text: Lines.
            x: Inches.
            y: Inches.
            size: Of the letters, in points.
            centred: Whether `x` is their middle.
            bold: Whether the letters are.
            spacing: From one line to the next, in sizes.
            colour: As ``#rrggbb``.
        """
        pixels = size * DPI / POINTS
        for number, line in enumerate(text.splitlines()):
            place = (x * DPI, y * DPI + pixels * (_BASELINE + number * spacing))
            self._draw.text(place, line, colour, font(pixels, bold), "ms" if centred else "ls")

    def rectangle(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """Fill a place with a colour."""
        left, top = round(x * DPI), round(y * DPI)
        right, bottom = max(round((x + width) * DPI), left + 1), max(round((y + height) * DPI), top + 1)
        self._image.paste(colour, (left, top, right, bottom))

    def picture(self, rgb: RGB, x: float, y: float, width: float, height: float) -> None:
        """Put a picture into the middle of a place, as large as fits."""
        scale = min(width / rgb.shape[1], height / rgb.shape[0]) * DPI
        size = max(round(rgb.shape[1] * scale), 1), max(round(rgb.shape[0] * scale), 1)
        how = Image.Resampling.NEAREST if scale > _ENLARGED else Image.Resampling.LANCZOS
        drawn = Image.fromarray(np.ascontiguousarray(rgb)).resize(size, how, reducing_gap=2.0)
        corner = round((x + width / 2) * DPI - size[0] / 2), round((y + height / 2) * DPI - size[1] / 2)
        self._image.paste(drawn, corner)

    def pixels(self) -> RGB:
        """uint8 [H,W,3]."""
        return np.asarray(self._image)

    def png(self) -> bytes:
        """As a file."""
        buffer = io.BytesIO()
        self._image.save(buffer, "PNG", compress_level=_COMPRESSION)
        return buffer.getvalue()


@lru_cache
def font(size: float, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Letters of a height in pixels; those that matplotlib brings along."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)
