"""The analytic receptive field: all input pixels that can influence one cell of a map.

Chen et al. 2019 (ProtoPNet), after the usual recursion over layers.  It covers the whole image for the
central cells of most deep backbones, and says nothing of which pixels matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protoexplain.data.geometry import Box


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """The receptive fields of a square map over a square input, in input pixels.

    Args:
        cells: Cells along one side of the map.
        jump: Distance between the centres of neighbouring cells.
        size: Side of one field.
        start: Centre of the first cell.
        input_size: Side of the input.
    """

    cells: int
    jump: float
    size: float
    start: float
    input_size: int

    def box(self, row: int, column: int) -> Box:
        """The field of one cell, cut at the borders of the input; fractions are truncated towards zero."""
        (y0, y1), (x0, x1) = self._span(row), self._span(column)
        return Box(x0, y0, x1, y1)

    def _span(self, index: int) -> tuple[int, int]:
        centre = self.start + index * self.jump
        return max(int(centre - self.size / 2), 0), min(int(centre + self.size / 2), self.input_size)


def receptive_field(
    kernels: Sequence[int],
    strides: Sequence[int],
    paddings: Sequence[int],
    input_size: int,
    prototype_size: int = 1,
) -> ReceptiveField:
    """Follow the layers from input to features; the prototype acts as a last layer.

    Args:
        kernels: Kernel side of each layer in order.
        strides: Of each layer.
        paddings: Of each layer, on each side.
        input_size: Side of the input in pixels.
        prototype_size: Side of the prototypes in cells.
    """
    cells, jump, size, start = input_size, 1.0, 1.0, 0.5
    for kernel, stride, padding in [*zip(kernels, strides, paddings, strict=True), (prototype_size, 1, 0)]:
        cells = (cells - kernel + 2 * padding) // stride + 1
        size += (kernel - 1) * jump
        start += ((kernel - 1) / 2 - padding) * jump
        jump *= stride
    return ReceptiveField(cells, jump, size, start, input_size)
