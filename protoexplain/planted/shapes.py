"""The shapes of single parts as outlines and feather relief, each in its part's own frame.

Wing and tail have x pointing backwards along the feathers and y down; the head has x forwards and y down.
All lengths are in bird units (a bird is about 1.15 long).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from protoexplain.planted.canvas import Bytes, Matrix, affine, bytes_of, fill, smooth, stroke, transform

Point = tuple[float, float]

HEAD_RADIUS: Final = 0.15
EYE: Final = (0.052, -0.030)
NEUTRAL: Final = 128


@dataclass
class Sheet:
    """Relief (128 = neither lit nor dark) and opacity being drawn over a window of a part's frame.

    Args:
        unit: Pixels per bird unit.
        window: x0, y0, x1, y1 in bird units.
    """

    unit: float
    window: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.window
        shape = (int(np.ceil((y1 - y0) * self.unit)), int(np.ceil((x1 - x0) * self.unit)))
        self.origin = (-x0 * self.unit, -y0 * self.unit)
        self.alpha: Bytes = np.zeros(shape, np.uint8)
        self.relief: Bytes = np.full(shape, NEUTRAL, np.uint8)

    def pixels(self, points: Matrix) -> Matrix:
        return np.asarray(points, float) * self.unit + np.array(self.origin)

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """x and y of every pixel's centre in bird units."""
        height, width = self.alpha.shape
        x = (np.arange(width, dtype=np.float32) + 0.5 - self.origin[0]) / self.unit
        y = (np.arange(height, dtype=np.float32) + 0.5 - self.origin[1]) / self.unit
        columns, rows = np.meshgrid(x, y)
        return columns, rows

    def solid(self, outline: Matrix, tone: int) -> None:
        points = self.pixels(outline)
        fill(self.alpha, points)
        fill(self.relief, points, tone)

    def line(self, points: Matrix, tone: int, width: float) -> None:
        stroke(self.relief, self.pixels(points), tone, width * self.unit)

    def feather(self, base: Point, tip: Point, width: float, tone: int, blunt: float) -> None:
        """One feather: lit along the upper vane, dark at the edge, with a shaft.

        Args:
            base: Where it grows.
            tip: Where it ends.
            width: Its full width.
            tone: Its brightness, 128 neutral.
            blunt: 0 for a pointed tip, 1 for a square one.
        """
        start, end = np.array(base), np.array(tip)
        along = end - start
        length = float(np.hypot(*along)) or 1e-6
        across = np.array([-along[1], along[0]]) / length
        t = np.linspace(0, 1, 14)
        round_off = 0.45 - 0.3 * blunt
        half = 0.5 * width * np.minimum(1, 0.35 + 2.2 * t)
        half *= np.sqrt(np.clip(1 - (np.clip(t - (1 - round_off), 0, None) / round_off) ** 2, 0, 1))
        shaft = start + t[:, None] * along
        upper, lower = shaft - half[:, None] * across, shaft + half[:, None] * across
        self.solid(np.concatenate([upper, lower[::-1]]), tone + 7)
        fill(self.relief, self.pixels(np.concatenate([shaft, lower[::-1]])), tone - 9)
        self.line(np.concatenate([upper, lower[::-1]]), tone - 48, 0.004)
        self.line(shaft[1:-1], tone - 26, 0.003)

    def soften(self) -> None:
        """Take the hardness out of the relief."""
        self.relief = bytes_of(cv2.GaussianBlur(self.relief, (0, 0), max(0.0022 * self.unit, 0.3)))


_FLIGHT_FEATHERS: Final[dict[str, tuple[tuple[Point, ...], float, float]]] = {  # tips, width, bluntness
    "pointed": (
        ((0.20, 0.095), (0.27, 0.095), (0.35, 0.085), (0.43, 0.07), (0.51, 0.05), (0.58, 0.025), (0.64, 0.0)),
        0.062,
        0.0,
    ),
    "rounded": (
        (
            (0.14, 0.125),
            (0.22, 0.14),
            (0.30, 0.13),
            (0.365, 0.095),
            (0.40, 0.05),
            (0.40, -0.005),
            (0.375, -0.055),
        ),
        0.085,
        0.75,
    ),
}
_SHOULDER: Final = (
    (-0.05, -0.01), (-0.02, -0.075), (0.06, -0.105), (0.13, -0.095),
    (0.10, -0.03), (0.06, 0.045), (-0.01, 0.05),
)  # fmt: skip


def wing(shape: str, unit: float) -> Sheet:
    """A folded wing from the shoulder at (0, 0): long flight feathers below, rows of coverts above."""
    sheet = Sheet(unit, (-0.10, -0.20, 0.74, 0.22))
    tips, width, blunt = _FLIGHT_FEATHERS[shape]
    for index, tip in enumerate(tips):
        base = (0.04 + 0.022 * index, 0.055 - 0.017 * index)
        sheet.feather(base, tip, width, NEUTRAL + (4 if index % 2 else -4), blunt)
    rows: list[tuple[float, float, int]] = [(0.20, 0.075, 6), (0.125, 0.065, 5), (0.06, 0.055, 4)]
    for reach, size, count in rows:
        for index in range(count):
            down = index / (count - 1)
            base = (reach - 0.09 + 0.02 * down, -0.075 + 0.105 * down)
            tip = (reach + 0.06 - 0.045 * down, -0.075 + 0.155 * down)
            sheet.feather(base, tip, size * 0.62, NEUTRAL + 6, 0.6)
    sheet.solid(smooth(_SHOULDER), NEUTRAL + 10)
    for x, y in [(0.0, -0.04), (0.05, -0.06), (0.04, -0.01), (0.0, 0.015), (0.085, -0.035)]:
        scale = [(x, y - 0.022), (x + 0.022, y), (x, y + 0.022)]
        sheet.line(smooth(scale, closed=False), NEUTRAL - 26, 0.004)
    sheet.soften()
    return sheet


def tail(shape: str, unit: float) -> Sheet:
    """Tail feathers from the root at (0, 0)."""
    sheet = Sheet(unit, (-0.06, -0.26, 0.50, 0.26))
    count = 8
    for index in range(count):
        side = 2 * index / (count - 1) - 1
        if shape == "fan":
            angle, length, width, blunt = 0.52 * side, 0.31, 0.085, 0.7
        elif shape == "forked":
            angle, length, width, blunt = 0.34 * side, 0.19 + 0.22 * abs(side) ** 1.5, 0.05, 0.05
        elif shape == "pointed":
            angle, length, width, blunt = 0.16 * side, 0.46 - 0.20 * abs(side), 0.046, 0.0
        else:
            angle, length, width, blunt = 0.05 * side, 0.30 - 0.006 * abs(side), 0.060, 1.0
        base = (-0.02, 0.035 * side)
        tip = (base[0] + length * np.cos(angle), base[1] + length * np.sin(angle))
        sheet.feather(base, tip, width, NEUTRAL + (5 if index % 2 else -5), blunt)
    root = [(-0.05, -0.045), (0.04, -0.05), (0.09, 0.0), (0.04, 0.05), (-0.05, 0.045)]
    sheet.solid(smooth(root), NEUTRAL + 4)
    sheet.soften()
    return sheet


def crest(shape: str, unit: float) -> Sheet:
    """What rises above the crown, in the head's frame; nothing for a smooth crown."""
    sheet = Sheet(unit, (-0.34, -0.42, 0.16, 0.04))
    plumes: list[tuple[Point, Point, float, float]] = []
    if shape == "crest":
        for index in range(6):
            share = index / 5
            base = (0.07 - 0.17 * share, -0.10 + 0.03 * share)
            plumes.append((base, (base[0] - 0.15, base[1] - 0.17 + 0.15 * share), 0.065, 0.0))
    if shape == "tuft":
        for angle, length in [(-0.5, 0.20), (0.35, 0.19), (-0.1, 0.24)]:
            base = (0.035, -0.11)
            tip = (base[0] + length * float(np.sin(angle)), base[1] - length * float(np.cos(angle)))
            plumes.append((base, tip, 0.034, 0.4))
    for base, tip, width, blunt in plumes:
        sheet.feather(base, tip, width, NEUTRAL, blunt)
    sheet.soften()
    return sheet


_BEAKS: Final[dict[str, tuple[tuple[Point, ...], tuple[Point, ...]]]] = {  # outline, line of the mouth
    "cone": (
        (
            (0.080, -0.075), (0.150, -0.062), (0.215, -0.028), (0.262, 0.018), (0.210, 0.044), (0.150,
            0.066), (0.090, 0.070),
        ),
        ((0.090, 0.012), (0.170, 0.012), (0.255, 0.019)),
    ),
    "long": (
        (
            (0.090, -0.032), (0.190, -0.022), (0.290, -0.004), (0.390, 0.036), (0.290, 0.024), (0.190,
            0.022), (0.090, 0.036),
        ),
        ((0.090, 0.004), (0.220, 0.003), (0.380, 0.033)),
    ),
    "hooked": (
        (
            (0.070, -0.080), (0.160, -0.078), (0.235, -0.040), (0.262, 0.035), (0.245, 0.100), (0.222,
            0.045), (0.180, 0.055), (0.120, 0.065), (0.080, 0.060),
        ),
        ((0.090, 0.018), (0.160, 0.022), (0.228, 0.040)),
    ),
    "spatula": (
        (
            (0.090, -0.032), (0.190, -0.014), (0.260, -0.032), (0.330, -0.048), (0.375, 0.005), (0.340,
            0.058), (0.260, 0.047), (0.190, 0.030), (0.090, 0.040),
        ),
        ((0.090, 0.004), (0.220, 0.010), (0.355, 0.012)),
    ),
}  # fmt: skip


def beak(shape: str, unit: float) -> Sheet:
    """A beak in the head's frame; its base lies under the face."""
    sheet = Sheet(unit, (0.04, -0.12, 0.48, 0.14))
    outline, mouth = (np.array(points) for points in _BEAKS[shape])
    sheet.solid(smooth(outline), NEUTRAL + 6)
    x, y = sheet.grid()
    middle = np.interp(x[0], *smooth(mouth, closed=False).T)[None, :]
    lit = np.clip((middle - y) / 0.06, -1, 1)
    sheet.relief = np.clip(sheet.relief + 34 * lit, 40, 215).astype(np.uint8)
    sheet.line(smooth(mouth, closed=False), 62, 0.006)
    nostril = transform(affine(0.012, 0.006, 0.2, 0.168, float(outline[1, 1] + mouth[1, 1]) / 2), _circle())
    fill(sheet.relief, sheet.pixels(nostril), 70)
    sheet.soften()
    return sheet


def _circle(steps: int = 20) -> Matrix:
    angle = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)
