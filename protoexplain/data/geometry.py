"""All coordinate arithmetic: source pixels <-> input pixels <-> map cells.

Coordinates are continuous with x to the right and y down; pixel (i, j) covers [j, j+1) x [i, i+1).
Boxes are (x0, y0, x1, y1) with exclusive upper ends.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-parallel rectangle in pixels, upper ends exclusive."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def area(self) -> float:
        return max(self.width, 0.0) * max(self.height, 0.0)

    def contains(self, x: float, y: float) -> bool:
        return self.x0 <= x < self.x1 and self.y0 <= y < self.y1

    def clipped(self, width: float, height: float) -> Box:
        """The part of the box inside an image of the given size."""
        return Box(max(self.x0, 0), max(self.y0, 0), min(self.x1, width), min(self.y1, height))

    def as_list(self) -> list[float]:
        return [self.x0, self.y0, self.x1, self.y1]


@dataclass(frozen=True, slots=True)
class Geometry:
    """How one source image became one network input: crop, then resize to a square (aspect ratio not kept).

    Args:
        crop: Region of the source image that was used, in source pixels.
        input_size: Side S of the network input, in pixels.
    """

    crop: Box
    input_size: int

    @classmethod
    def of(cls, source_size: tuple[int, int], box: Box | None, input_size: int) -> Geometry:
        """Crop to `box` (integer-truncated, clipped to the image) or use the whole image of size (width, height)."""
        width, height = source_size
        whole = Box(0, 0, width, height)
        if box is None:
            return cls(whole, input_size)
        cut = Box(int(box.x0), int(box.y0), int(box.x1), int(box.y1)).clipped(width, height)
        return cls(cut if cut.area >= 1 else whole, input_size)

    def to_input(self, x: float, y: float) -> tuple[float, float]:
        """Source pixels -> input pixels."""
        return (
            (x - self.crop.x0) * self.input_size / self.crop.width,
            (y - self.crop.y0) * self.input_size / self.crop.height,
        )

    def to_source(self, x: float, y: float) -> tuple[float, float]:
        """Input pixels -> source pixels."""
        return (
            self.crop.x0 + x * self.crop.width / self.input_size,
            self.crop.y0 + y * self.crop.height / self.input_size,
        )

    def box_to_source(self, box: Box) -> Box:
        return Box(*self.to_source(box.x0, box.y0), *self.to_source(box.x1, box.y1))

    def box_to_input(self, box: Box) -> Box:
        return Box(*self.to_input(box.x0, box.y0), *self.to_input(box.x1, box.y1))

    def cell_box(self, row: int, column: int, map_height: int, map_width: int) -> Box:
        """The input pixels that lie over one cell of a map (not its receptive field)."""
        height, width = self.input_size / map_height, self.input_size / map_width
        return Box(column * width, row * height, (column + 1) * width, (row + 1) * height)
