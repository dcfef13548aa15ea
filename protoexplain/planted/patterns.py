"""Feather patterns: plain, bars, spots, scales, streaks, checks, all with mean 0 and the same spread."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

_PERIOD: Final = 0.072  # length of one repeat, in bird units
_SPREAD: Final = 0.75  # standard deviation of every pattern but the plain one


@lru_cache(maxsize=128)
def noise(shape: tuple[int, int], cell: float | tuple[float, float], octaves: int, seed: int) -> Plane:
    """Smooth noise with mean 0 and standard deviation 1; the array is shared and must not be changed.

    Args:
        shape: Height and width in pixels.
        cell: Size of the largest blobs in pixels, or their (height, width).
        octaves: Number of layers; each has half the size and 0.55 times the strength of the one before.
        seed: What to draw.
    """
    rng = np.random.default_rng(seed)
    height, width = cell if isinstance(cell, tuple) else (cell, cell)
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        rows = max(int(np.ceil(shape[0] / height * 2**octave)), 1) + 3
        columns = max(int(np.ceil(shape[1] / width * 2**octave)), 1) + 3
        rows, columns = min(rows, shape[0] + 3), min(columns, shape[1] + 3)
        grid = rng.standard_normal((rows, columns), dtype=np.float32)
        total += 0.55**octave * cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return _normal(total)


def pattern(kind: str, x: Plane, y: Plane, unit: float) -> Plane:
    """The pattern at points of a region's own frame: x along the feathers, y across, both in bird units.

    Returns:
        Values of about -1 to 1 of the same shape, mean 0.
    """
    wobble = noise(x.shape[:2], 0.16 * unit, 2, 11) * 0.10
    sway = noise(x.shape[:2], 0.16 * unit, 2, 12) * 0.10
    u, v = x / _PERIOD + wobble, y / _PERIOD + sway
    if kind == "plain":
        return noise(x.shape[:2], (0.03 * unit, 0.09 * unit), 3, 13) * np.float32(0.35)
    if kind == "bars":
        value = np.sin(2 * np.pi * u)
    elif kind == "checks":
        value = np.sin(np.pi * u * 1.15) * np.sin(np.pi * v * 1.15) * 2
    elif kind == "spots":
        row = np.floor(v / 0.87)
        across, along = v / 0.87 - row - 0.5, u + 0.5 * (row % 2)
        value = 0.34 - np.hypot(along - np.floor(along) - 0.5, across * 0.87)
        value *= 5
    elif kind == "streaks":
        row = np.floor(v / 0.62)
        across, along = v / 0.62 - row - 0.5, u / 2.4 + 0.5 * (row % 2)
        along = along - np.floor(along) - 0.5
        value = 1.0 - np.hypot(along * 2.6, across * 3.4) * 1.15
        value *= 1.5
    elif kind == "scales":
        row = np.floor(u / 0.8)
        along, across = u / 0.8 - row, v + 0.5 * (row % 2)
        across = across - np.floor(across) - 0.5
        value = (0.62 - np.abs(np.hypot(1 - along, across) - 0.1)) * 4
    else:
        raise ValueError(f"unknown texture {kind!r}")
    return np.clip(_normal(np.tanh(1.6 * value).astype(np.float32)) * _SPREAD, -1, 1).astype(np.float32)


def _normal(values: Plane) -> Plane:
    return ((values - values.mean()) / max(float(values.std()), 1e-6)).astype(np.float32)
