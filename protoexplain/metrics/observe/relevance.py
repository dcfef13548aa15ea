"""How the map of the most similar prototype lies on the object (CaBRNet's relevance scores)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from protoexplain.data.regions import object_region
from protoexplain.metrics.observe.localisation import Region
from protoexplain.metrics.observe.passes import Chunk
from protoexplain.metrics.stats.relevance import energy_relevance, mask_relevance
from protoexplain.regions.boxes import upsample


@dataclass(frozen=True)
class Relevance:
    """Energy and mask relevance of the map of the prototype that fires most, the share of the object [n] each.

    The map is the absolute activation map, upsampled to the source pixels that the network saw.  Also the kind of
    region [n]; all is 0 where the object is not known.
    """

    name: str = "relevance"
    cost = 1

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        strongest = chunk.output.activations.argmax(1).tolist()
        by_branch = chunk.model.activation_maps(chunk.features)
        starts = [0, *torch.tensor(chunk.model.branch_sizes()).cumsum(0).tolist()]
        columns = {name: torch.zeros(len(strongest), dtype=torch.float64) for name in ("energy", "mask", "object")}
        kinds = torch.zeros(len(strongest), dtype=torch.int8)
        for row, (prototype, record, geometry) in enumerate(
            zip(strongest, chunk.records, chunk.geometries, strict=True)
        ):
            region = object_region(record, geometry)
            if region is None or not region.any():
                kinds[row] = int(Region.UNKNOWN if region is None else Region.EMPTY)
                continue
            branch = sum(prototype >= start for start in starts[1:])
            cells = by_branch[branch][row, prototype - starts[branch]].cpu()
            heat, inside = upsample(cells.abs()[None], *region.shape), torch.from_numpy(region.copy())
            columns["energy"][row] = energy_relevance(heat, inside)[0]
            columns["mask"][row] = mask_relevance(heat, inside)[0]
            columns["object"][row] = inside.double().mean()
        return {**columns, "region": kinds}
