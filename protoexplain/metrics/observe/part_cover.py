"""How the maps of an image's class overlap each other and cover the object (Zhu et al. 2025)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from protoexplain.data.regions import object_region
from protoexplain.metrics.observe.localisation import UNDEFINED
from protoexplain.metrics.observe.passes import Chunk, own_maps
from protoexplain.metrics.stats.part_masks import (
    MOST,
    SIZE,
    box_overlap,
    peaks_of,
    pooled_pixels,
    region_overlap,
    strongest_of,
    united_masks,
)
from protoexplain.metrics.stats.randomness import random_points


@dataclass(frozen=True)
class PartCover:
    """Columns [n]: mean IoU of boxes around peaks, `overlap`, and around random peaks, `random`; IoU of the object with
    the union of the masks, `covered`, and with the whole picture, `object`; `UNDEFINED` where there is none.
    """

    seed: int
    name: str = "part_cover"
    cost = 1

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        stacks = own_maps(chunk.model, chunk.description, chunk.features, chunk.labels, activated=True)
        drawn = random_points(self.seed, "covering peak", chunk.ids, MOST, (SIZE, SIZE))
        rows = []
        for row, (record, geometry) in enumerate(zip(chunk.records, chunk.geometries, strict=True)):
            maps = [one for own in stacks for one in own.maps[row][own.present[row].to(own.maps.device)].cpu()]
            pixels = _chosen(maps)
            region = object_region(record, geometry)
            covered = whole = math.nan
            if region is not None and region.any():
                inside = _resized(torch.from_numpy(region.copy()))
                covered, whole = region_overlap(united_masks(pixels), inside), float(inside.double().mean())
            overlaps = box_overlap(peaks_of(pixels)), box_overlap(drawn[row, : len(pixels)])
            rows.append((*overlaps, covered, whole))
        table = torch.tensor(rows, dtype=torch.float64).nan_to_num(UNDEFINED)
        return dict(zip(("overlap", "random", "covered", "object"), table.unbind(1), strict=True))


def _chosen(maps: list[Tensor]) -> Tensor:
    """[K',S,S]: the strongest of maps of any sizes, pooled and upsampled."""
    peaks = torch.tensor([float(one.max()) for one in maps])
    chosen = strongest_of(peaks).tolist()
    return torch.cat([pooled_pixels(maps[number][None]) for number in chosen]) if chosen else torch.zeros(0, SIZE, SIZE)


def _resized(region: Tensor) -> Tensor:
    """bool [S,S], by nearest pixels."""
    return F.interpolate(region[None, None].float(), (SIZE, SIZE), mode="nearest-exact")[0, 0] > 0.5
