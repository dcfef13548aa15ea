"""Object parts in the pixels of the network's input, and which of them a peak hits.

Exact as published by Huang et al. 2023 (ICCV), whose windows have inclusive ends.  N images, K prototypes of an
image's class, T parts.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.records import ImageRecord

_FAR = 1 << 13
_SIDE = re.compile(r"^(left|right)[ _-]|[ _-](left|right)$", re.IGNORECASE)
_NUMBERED = re.compile(r"(.+?)[ _-]?(\d+)")


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
        stretch: float64 [N,2], across and down: the side of the input in sides of the object's box; by default the
            object fills the input, as where images are cut to their boxes.
    """

    names: tuple[str, ...]
    pixels: Tensor
    visible: Tensor
    source: Tensor
    crops: Tensor
    size: int
    stretch: Tensor = field(default_factory=lambda: torch.ones(1, 2, dtype=torch.float64))


def read_parts(
    records: Sequence[ImageRecord], geometries: Sequence[Geometry], names: tuple[str, ...], size: int
) -> Parts:
    """The parts of the records; images without annotations show none."""
    spots = [[(record.parts or {}).get(name) for name in names] for record in records]
    visible = torch.tensor([[spot is not None for spot in row] for row in spots]).view(-1, len(names))
    places = [[spot or (0.0, 0.0) for spot in row] for row in spots]
    source = torch.tensor(places, dtype=torch.float64).view(-1, len(names), 2)
    crops = torch.tensor([g.crop.as_list() for g in geometries], dtype=torch.float64).view(-1, 4)
    stretch = torch.tensor([_stretch(*pair) for pair in zip(records, geometries, strict=True)], dtype=torch.float64)
    return Parts(names, input_pixels(source, crops, size), visible, source, crops, size, stretch.view(-1, 2))


def _stretch(record: ImageRecord, geometry: Geometry) -> tuple[float, float]:
    """The side of the crop in sides of the object's box within it, across and down; 1 where no box is known."""
    if record.box is None:
        return 1.0, 1.0
    crop, box = geometry.crop, Box(*map(int, record.box.as_list()))
    within = Box(max(box.x0, crop.x0), max(box.y0, crop.y0), min(box.x1, crop.x1), min(box.y1, crop.y1))
    return (crop.width / within.width, crop.height / within.height) if within.area >= 1 else (1.0, 1.0)


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
    """Larger of the distances across and down from each peak to each part, in pixels of the input (published).

    Args:
        peaks: int [N,K,2] (y, x).
        parts: Of the same images.

    Returns:
        int16 [N,K,T]; very far for parts that do not show or lie beyond the edge of the input.  A window is clipped
        at the edges 0 and S, both included.
    """
    return torch.maximum(*_apart(peaks, parts)).masked_fill(_hidden(parts), _FAR)


def part_distances_on_objects(peaks: Tensor, parts: Parts) -> Tensor:
    """The same in pixels of an input that is cut to the object's box: float64 [N,K,T]."""
    across, down = parts.stretch[:, None, None].unbind(3)
    apart_across, apart_down = _apart(peaks, parts)
    return torch.maximum(apart_across * across, apart_down * down).masked_fill(_hidden(parts), _FAR)


def _apart(peaks: Tensor, parts: Parts) -> tuple[Tensor, Tensor]:
    """Distances across and down, int16 [N,K,T] each."""
    x, y = parts.pixels.clamp(-_FAR, _FAR).short()[:, None].unbind(3)
    down, across = peaks.short()[:, :, None].unbind(3)
    return (across - x).abs(), (down - y).abs()


def _hidden(parts: Parts) -> Tensor:
    """bool [N,1,T]: what does not show, or lies beyond the edge of the input."""
    inside = ((parts.pixels >= 0) & (parts.pixels <= parts.size)).all(2) & parts.visible
    return ~inside[:, None]


def merged_sides(names: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Parts that come twice, such as left and right eye, as one: names of the merged parts, and the part of each.

    Sides are recognised by ``left`` or ``right`` beside the name, or by the numbers 1 and 2 after it where the
    name comes with no other number: ``left eye``, ``wing_right``, ``eye01``.
    """
    plain = [_SIDE.sub("", name) for name in names]
    split = [_NUMBERED.fullmatch(name) for name in plain]
    numbers: dict[str, set[int]] = defaultdict(set)
    for found in filter(None, split):
        numbers[found[1]].add(int(found[2]))
    bases = [
        found[1] if found and numbers[found[1]] <= {1, 2} else name for name, found in zip(plain, split, strict=True)
    ]
    merged = tuple(dict.fromkeys(bases))
    return merged, np.array([merged.index(base) for base in bases])
