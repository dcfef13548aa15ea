"""How alike two patches look to a person, judged without the model that is to be explained.

A patch is described by its mean colours on a grid and by the directions of its edges on the same grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from protoexplain.explanations.characteristics.perturbations import RGB

_SIDE: Final = 32
_GRID: Final = 4
_DIRECTIONS: Final = 8
_COLOUR_STEP: Final = 20.0
"""A mean colour difference of so many Lab units brings the likeness of colours down to 1/e."""
_FAINT_EDGES: Final = 8.0
"""Mean lightness gradient (Lab units per pixel) beside which weaker edges fade out."""


def likeness(patches: Sequence[RGB | None]) -> NDArray[np.float64]:
    """How alike patches look.

    Args:
        patches: P pictures uint8 [H,W,3] of any size, None where a prototype has none.

    Returns:
        [P,P] in [0, 1]: the geometric mean of the likeness of colours and of edges; NaN beside a missing patch.
    """
    blank = np.full((_GRID, _GRID, 3), np.nan)
    known = [(blank, np.full((_GRID, _GRID, _DIRECTIONS), np.nan)) if p is None else _described(p) for p in patches]
    colours = np.stack([colour for colour, _ in known]).reshape(len(known), -1, 3)
    edges = np.stack([edge for _, edge in known]).reshape(len(known), -1)
    apart = np.stack([np.linalg.norm(colours - one, axis=2).mean(1) for one in colours])
    alike = (edges @ edges.T).clip(0, 1)
    return np.asarray(np.sqrt(np.exp(-apart / _COLOUR_STEP) * alike))


def _described(patch: RGB) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean Lab colour [4,4,3] and edge directions [4,4,8] of unit length."""
    small = cv2.resize(patch, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)
    across = cv2.Sobel(lab[..., 0], cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(lab[..., 0], cv2.CV_32F, 0, 1, scale=1 / 8)
    direction = (np.arctan2(down, across) % np.pi / np.pi * _DIRECTIONS).astype(int) % _DIRECTIONS
    strength = np.eye(_DIRECTIONS)[direction] * np.hypot(across, down)[..., None]
    cell = _SIDE // _GRID

    def cells(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(values.reshape(_GRID, cell, _GRID, cell, -1).mean((1, 3), dtype=np.float64))

    edges = cells(strength) + _FAINT_EDGES / (_DIRECTIONS * _GRID)
    return cells(lab), edges / np.linalg.norm(edges)
