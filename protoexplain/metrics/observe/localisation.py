"""How a heat map lies on the object (Wang et al. 2023).

H is the mean activation map of the prototypes of the true class, upsampled to the source pixels that the network saw
and stretched to [0, 1]; G is the object.  content = mean of H on G; ratio = mean of H off G / mean of H on G;
IoU = |{H >= t} and G| / |{H >= t} or G|.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protoexplain.data.regions import object_region
from protoexplain.metrics.observe.passes import Chunk
from protoexplain.metrics.stats.randomness import random_points
from protoexplain.regions.boxes import upsample

LEVELS = tuple(round(0.1 * i, 1) for i in range(1, 10))
"""Thresholds of the IoU; the published one is 0.5."""
OWN, CENTRE, RANDOM = range(3)
"""Maps that are compared: the model's, one with its peak in the middle, one with its peak anywhere."""
BASELINES = {CENTRE: "centre peak", RANDOM: "random peak"}
UNDEFINED = -1.0


class Region(IntEnum):
    """What is known of the object in an image."""

    USABLE, UNKNOWN, EMPTY, FULL = range(4)


def stretched(pixels: Tensor) -> Tensor:
    """To [0, 1] over the last two axes."""
    low, high = pixels.amin((-2, -1), keepdim=True), pixels.amax((-2, -1), keepdim=True)
    return (pixels - low) / (high - low)


def localisation(heat: Tensor, region: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Content, outside-inside ratio and IoU at each of `LEVELS`, of maps on one region.

    Args:
        heat: [M,h,w].
        region: bool [H,W].

    Returns:
        [M], [M] and [M,levels]; NaN where there is nothing to divide by.
    """
    pixels = stretched(upsample(heat, *region.shape))
    inside, outside = pixels[:, region].mean(1), pixels[:, ~region].mean(1)
    above = pixels[:, None] >= torch.tensor(LEVELS, dtype=pixels.dtype, device=pixels.device)[:, None, None]
    both = (above & region).sum((2, 3))
    iou = both / ((above | region).sum((2, 3)) + 1e-8)
    return inside, outside / inside, iou


@dataclass(frozen=True)
class Localisation:
    """How three maps, the model's and two that ignore the image, lie on the object.

    Columns: content and ratio [n,3] and IoU [n,3,levels], `UNDEFINED` instead of NaN; whether peaks are on the object
    [n,K,3]; the kind of region [n].
    """

    seed: int
    name: str = "localisation"
    cost = 1

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        (height, width), size, own = chunk.description.finest_map, chunk.description.size, chunk.own_peaks.long()
        cells = random_points(self.seed, "located cell", chunk.ids, 1, (height, width))[:, 0]
        anywhere = random_points(self.seed, "located peak", chunk.ids, own.shape[1], (size, size))
        rows = []
        for number, (record, geometry) in enumerate(zip(chunk.records, chunk.geometries, strict=True)):
            maps = torch.zeros(3, height, width)
            maps[OWN] = chunk.heat[number]
            maps[CENTRE, height // 2, width // 2] = 1
            maps[RANDOM, cells[number, 0], cells[number, 1]] = 1
            looked = torch.stack([own[number], torch.full_like(own[number], size // 2), anywhere[number]], 1)
            rows.append(_row(maps, looked, size, object_region(record, geometry)))
        return {column: torch.stack([row[column] for row in rows]) for column in rows[0]}


def _row(maps: Tensor, looked: Tensor, size: int, region: NDArray[np.bool_] | None) -> dict[str, Tensor]:
    """The columns of one image."""
    if region is None:
        region, known = np.zeros((1, 1), dtype=bool), Region.UNKNOWN
    else:
        known = Region.EMPTY if not region.any() else Region.FULL if region.all() else Region.USABLE
    object_ = torch.from_numpy(np.ascontiguousarray(region))
    content, ratio, iou = localisation(maps, object_)
    iou[content.isnan()] = torch.nan
    extent = torch.tensor(region.shape)
    place = ((looked + 0.5) * extent / size).long()
    on_object = object_[place[..., 0], place[..., 1]]
    columns = {"content": content, "ratio": ratio, "iou": iou}
    finite = {name: column.nan_to_num(UNDEFINED, UNDEFINED, UNDEFINED) for name, column in columns.items()}
    return {**finite, "on_object": on_object, "region": torch.tensor(int(known), dtype=torch.int8)}
