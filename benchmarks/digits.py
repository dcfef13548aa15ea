"""The digits of scikit-learn as coloured pictures in class folders: the same small work for every tool.

A digit of 8 x 8 grey levels is enlarged with bicubic interpolation and serves as the opacity of an ink over a pale
checkerboard.  Ink and phase of the board follow the number of the digit, not its class, so that shape alone tells.
Equal arguments give equal pixels; their SHA-256 is returned.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

INKS = np.array(
    [(200, 30, 40), (30, 110, 200), (20, 140, 60), (190, 120, 10), (120, 40, 160), (40, 40, 40)], np.float32
)
PALE, DARKER, SQUARES = 225, 14, 16
CLASSES = 10


def paint(levels: np.ndarray, number: int, size: int) -> np.ndarray:
    """One picture, uint8 [size,size,3]; levels [8,8] in 0..16."""
    grey = Image.fromarray((levels / 16 * 255).astype(np.uint8))
    opacity = np.asarray(grey.resize((size, size), Image.Resampling.BICUBIC), np.float32)[..., None] / 255
    square = np.arange(size) // max(1, size // SQUARES)
    board = (square[:, None] + square + number % 2) % 2
    ground = (PALE + DARKER * board).astype(np.float32)[..., None]
    mixed = ground * (1 - opacity) + INKS[number % len(INKS)] * opacity
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def write_digits(folder: Path, size: int, train: int, test: int) -> str:
    """Write `train` and `test` pictures of each class as PNG below train/ and test/; returns the checksum."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    checksum = hashlib.sha256()
    for label in range(CLASSES):
        numbers = np.flatnonzero(digits.target == label)[: train + test]
        for place, number in enumerate(numbers.tolist()):
            picture = paint(digits.images[number], number, size)
            checksum.update(picture.tobytes())
            path = folder / ("train" if place < train else "test") / str(label) / f"{place:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    return checksum.hexdigest()
