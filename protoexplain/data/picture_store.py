"""Decoded pictures that stay in memory, up to a number of bytes over all data sets that share a store."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Place = tuple[int, int, int, int]
"""Block, first byte in it, height and width of a kept picture."""
_BLOCK = 1 << 24
"""Bytes that are asked for at a time."""


class PictureStore:
    """Keeps pictures [H,W,3] side by side in a few large blocks, and tells their places as plain numbers.

    An array of its own for each picture would live long among the feature maps that live shortly, and the heap,
    which then finds no room between them, would grow by several times the size of the pictures.

    Args:
        size: Most bytes of pictures; a copy of the store in another process starts empty.
    """

    def __init__(self, size: int) -> None:
        self.size = self.left = size
        self._blocks: list[Pixels] = []
        self._filled = 0

    def put(self, pixels: Pixels) -> Place | None:
        """Where a picture is kept from now on, or None where there is no room left for it."""
        if pixels.nbytes > self.left:
            return None
        if not self._blocks or self._filled + pixels.nbytes > len(self._blocks[-1]):
            self._blocks.append(np.empty(max(pixels.nbytes, min(_BLOCK, self.left)), np.uint8))
            self._filled = 0
        height, width, _ = pixels.shape
        place = len(self._blocks) - 1, self._filled, height, width
        self.get(place)[...] = pixels
        self._filled += pixels.nbytes
        self.left -= pixels.nbytes
        return place

    def get(self, place: Place) -> Pixels:
        """A kept picture; not to be changed."""
        block, start, height, width = place
        return self._blocks[block][start : start + height * width * 3].reshape(height, width, 3)

    def __reduce__(self) -> tuple[type[PictureStore], tuple[int]]:
        return PictureStore, (self.size,)
