"""Object parts in the pixels of the network's input, and which of them a peak hits.

Exact as published by Huang et al. 2023 (ICCV), whose windows have inclusive ends.  N images, K prototypes of an
image's class, T parts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protoexplain.data.geometry import Geometry
from protoexplain.data.records import ImageRecord

_FAR = 1 << 14
_SIDE = re.compile(r"^(left|right)[ _]|[ _]?0?[12]$")


@dataclass(frozen=True)
class Parts:
    """Part locations of all test images.

    Args:
        names: Of the parts.
        pixels: int64 [N,T,2] (x, y) in the input; only where visible.
        visible: bool [N,T].
        source: float64 [N,T,2] (x, y) in the source image, as annotated.
        crops: float64 [N,4], x0, y0, x1, y1 of the region of the source image that became the input.
        size: Side S of the input.
    """

    names: tuple[str, ...]
    pixels: Tensor
    visible: Tensor
    source: Tensor
    crops: Tensor
    size: int


def read_parts(
    records: Sequence[ImageRecord], geometries: Sequence[Geometry], names: tuple[str, ...], size: int
) -> Parts:
    """The parts of the records; images without annotations show none."""
    source = torch.zeros(len(records), len(names), 2, dtype=torch.float64)
    visible = torch.zeros(len(records), len(names), dtype=torch.bool)
    for i, record in enumerate(records):
        for t, name in enumerate(names):
            spot = (record.parts or {}).get(name)
            if spot is not None:
                source[i, t] = torch.tensor(spot, dtype=torch.float64)
                visible[i, t] = True
    crops = torch.tensor([g.crop.as_list() for g in geometries], dtype=torch.float64).view(-1, 4)
    return Parts(names, input_pixels(source, crops, size), visible, source, crops, size)


def input_pixels(source: Tensor, crops: Tensor, size: int) -> Tensor:
    """trunc(S * ((x - x0) / (x1 - x0))) of whole source pixels, and the same for y.

    The order of operations is the published one: another one moves some pixels by one.

    Args:
        source: float64 [N,T,2]; decimals are dropped.
        crops: float64 [N,4] in whole pixels.
        size: Side S of the input.

    Returns:
        int64 [N,T,2]; may be negative, S, or more.
    """
    start, extent = crops[:, None, :2], crops[:, None, 2:] - crops[:, None, :2]
    return (size * ((source.trunc() - start) / extent)).trunc().long()


def part_distances(peaks: Tensor, parts: Parts) -> Tensor:
    """Larger of the distances across and down from each peak to each part.

    Args:
        peaks: int [N,K,2] (y, x).
        parts: Of the same images.

    Returns:
        int16 [N,K,T]; very far for parts that do not show or lie beyond the edge of the input.  A window is clipped
        at the edges 0 and S, both included.
    """
    inside = ((parts.pixels >= 0) & (parts.pixels <= parts.size)).all(2) & parts.visible
    apart = (peaks.flip(2)[:, :, None].int() - parts.pixels[:, None].int()).abs().amax(3)
    return apart.masked_fill(~inside[:, None], _FAR).short()


def merged_sides(names: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Parts that come twice, such as left and right eye, as one: names of the merged parts, and the part of each."""
    plain = [_SIDE.sub("", name) for name in names]
    merged = tuple(dict.fromkeys(plain))
    return merged, np.array([merged.index(name) for name in plain])
