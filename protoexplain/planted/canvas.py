"""The few drawing operations everything is made of: place a picture, mix it in, darken through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Matrix = NDArray[np.float64]
Roi = tuple[slice, slice]


@dataclass(frozen=True)
class Stencil:
    """A picture drawn once and placed often.

    Args:
        picture: (h, w, 4) sRGB multiplied by opacity, and opacity; or (h, w, 2) tones, to be coloured when
            the stencil is placed, and opacity.
        unit: Pixels of the stencil per unit of its own frame.
        origin: Stencil pixel (x, y) of the frame's origin.
        labels: (h, w) number of the region each pixel belongs to, 0 for none.
    """

    picture: Bytes
    unit: float
    origin: tuple[float, float]
    labels: Bytes | None = None

    def placed(self, frame: Matrix) -> Matrix:
        """The matrix from stencil pixels to wherever `frame` (3 x 3) takes the stencil's own frame."""
        x, y = self.origin
        matrix: Matrix = frame @ np.array([[1, 0, -x], [0, 1, -y], [0, 0, self.unit]]) / self.unit
        return matrix

    def covers(self, matrix: Matrix, size: int) -> Roi | None:
        """The rows and columns of a square canvas that the stencil spans, None if it lies outside."""
        height, width = self.picture.shape[:2]
        return covered(transform(matrix, [(0, 0), (width, 0), (width, height), (0, height)]), size)


def affine(scale_x: float, scale_y: float, angle: float, x: float, y: float) -> Matrix:
    """Scale, then turn by `angle` radians (positive: from the x axis towards the y axis), then move."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[scale_x * cos, -scale_y * sin, x], [scale_x * sin, scale_y * cos, y], [0, 0, 1]])


def transform(matrix: Matrix, points: Any) -> Matrix:  # noqa: ANN401 - anything numpy can read as (n, 2)
    """Points (n, 2) through a 3 x 3 matrix."""
    return np.asarray(points, float) @ matrix[:2, :2].T + matrix[:2, 2]


def covered(points: Matrix, size: int, margin: float = 1.0) -> Roi | None:
    """The rows and columns of a square canvas that the points span, None if they lie outside."""
    low = np.maximum(np.floor(points.min(axis=0) - margin), 0).astype(int)
    high = np.minimum(np.ceil(points.max(axis=0) + margin), size).astype(int)
    if np.any(high - low < 1):
        return None
    return slice(low[1], high[1]), slice(low[0], high[0])


def warp(picture: Bytes, matrix: Matrix, roi: Roi, *, nearest: bool = False) -> Bytes:
    """Part `roi` of the picture placed by `matrix` (continuous coordinates), 0 outside."""
    rows, columns = roi
    shift = np.array([[1, 0, -columns.start - 0.5], [0, 1, -rows.start - 0.5], [0, 0, 1]])
    centre = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    shape = (columns.stop - columns.start, rows.stop - rows.start)
    flags = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    return bytes_of(cv2.warpAffine(picture, (shift @ matrix @ centre)[:2], shape, flags=flags))


def bytes_of(picture: Any) -> Bytes:  # noqa: ANN401 - OpenCV's types do not tell the kind of number
    """The same array, known to hold bytes."""
    return np.asarray(picture, np.uint8)


def spread(plane: Bytes, channels: int) -> Bytes:
    """A plane repeated in every channel."""
    return bytes_of(cv2.merge([plane] * channels))


def lay(canvas: Bytes, picture: Bytes, roi: Roi) -> None:
    """Lay a picture whose last channel is opacity, and whose others are multiplied by it, over part `roi`.

    The canvas has four channels like the picture.
    """
    clear = spread(bytes_of(cv2.bitwise_not(cv2.extractChannel(picture, 3))), 4)
    canvas[roi] = cv2.add(cv2.multiply(canvas[roi], clear, scale=1 / 255), picture)


def tint(canvas: Bytes, stencil: Stencil, frame: Matrix, table: Bytes) -> tuple[Roi, Bytes] | None:
    """Lay a stencil of tones over a canvas of three channels, coloured by 256 shades (256, 1, 3).

    Returns:
        Where, and with what opacity; None if the stencil lies outside.
    """
    matrix = stencil.placed(frame)
    roi = stencil.covers(matrix, canvas.shape[0])
    if roi is None:
        return None
    tone, alpha = cv2.split(warp(stencil.picture, matrix, roi))
    cover = spread(bytes_of(alpha), 3)
    below = cv2.multiply(canvas[roi], cv2.bitwise_not(cover), scale=1 / 255)
    canvas[roi] = cv2.add(below, cv2.multiply(cv2.applyColorMap(tone, table), cover, scale=1 / 255))
    return roi, bytes_of(alpha)


def shade(canvas: Bytes, factor: Bytes, roi: Roi) -> None:
    """Multiply the colours in part `roi` of a canvas of four channels by `factor` / 128."""
    full = np.full_like(factor, 128)
    canvas[roi] = cv2.multiply(canvas[roi], cv2.merge([factor, factor, factor, full]), scale=1 / 128)


def fill(mask: Bytes, points: Matrix, value: int = 255) -> None:
    """Fill a polygon with smooth edges."""
    cv2.fillPoly(mask, [np.rint(points * 16).astype(np.int32)], value, cv2.LINE_AA, 4)


def stroke(mask: Bytes, points: Matrix, value: int, width: float) -> None:
    """Draw a line with smooth edges."""
    line = np.rint(points * 16).astype(np.int32)
    cv2.polylines(mask, [line], False, value, max(1, round(width)), cv2.LINE_AA, 4)


def smooth(points: Any, closed: bool = True, steps: int = 8) -> Matrix:  # noqa: ANN401
    """A Catmull-Rom curve through points (n, 2), `steps` points per piece."""
    knots = np.asarray(points, float)
    if closed:
        knots = np.concatenate([knots[-1:], knots, knots[:2]])
    else:
        knots = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = np.arange(steps)[None, :, None] / steps
    a, b, c, d = (knots[k : len(knots) - 3 + k, None, :] for k in range(4))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, knots[-2:-1]])
