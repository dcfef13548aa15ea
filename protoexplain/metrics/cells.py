"""Cells that lie wholly beside the object, and cells that lie wholly on it, drawn from the maps of an image.

Three maps are looked at: the latent map that the prototypes are compared with, the features of the backbone below it,
and the features of the same backbone before it was trained on these classes.  n images, k cells of each kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from protoexplain.metrics.localisation import region_of
from protoexplain.metrics.passes import Chunk
from protoexplain.metrics.randomness import seed_of

BACKGROUND, OBJECT = range(2)
LATENT, FEATURES, FROZEN = "latent", "features", "frozen"


@dataclass(frozen=True)
class Cells:
    """Vectors of randomly chosen cells.

    Columns: the label [n]; for each map its vectors [n,2,k,D], first of cells beside the object, then of cells on it,
    in half precision and 0 where there are too few, and ``... found`` [n,2,k]: whether they are vectors.
    """

    cells: int
    seed: int
    name: str = "cells"
    cost = 2

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        regions = [region_of(*pair) for pair in zip(chunk.records, chunk.geometries, strict=True)]
        columns = {"label": chunk.labels}
        for name, vectors in maps_of(chunk).items():
            columns[name], columns[f"{name} found"] = self._drawn(vectors.cpu(), regions, chunk.ids)
        return columns

    def _drawn(
        self, vectors: Tensor, regions: Sequence[NDArray[np.bool_] | None], ids: Sequence[str]
    ) -> tuple[Tensor, Tensor]:
        count, depth, height, width = vectors.shape
        drawn = torch.zeros(count, 2, self.cells, depth, dtype=torch.half)
        found = torch.zeros(count, 2, self.cells, dtype=torch.bool)
        most = torch.finfo(torch.half).max
        for image, (region, id_) in enumerate(zip(regions, ids, strict=True)):
            if region is None:
                continue
            generator = torch.Generator().manual_seed(seed_of(self.seed, "cells", id_))
            order = torch.randperm(height * width, generator=generator)
            tokens = vectors[image].flatten(1).T
            for kind, pure in enumerate(pure_cells(region, height, width)):
                chosen = order[pure.flatten()[order]][: self.cells]
                drawn[image, kind, : len(chosen)] = tokens[chosen].clamp(-most, most).half()
                found[image, kind, : len(chosen)] = True
        return drawn, found


def maps_of(chunk: Chunk) -> dict[str, Tensor]:
    """Map -> vectors [n,D,h,w]; branches of a model are joined along the vectors."""
    latent = torch.cat([branch.addon(chunk.features) for _, branch in chunk.model.named_branches()], 1)
    frozen = {} if chunk.frozen is None else {FROZEN: chunk.frozen(chunk.images)}
    return {LATENT: latent, FEATURES: chunk.features, **frozen}


def pure_cells(region: NDArray[np.bool_], height: int, width: int) -> tuple[Tensor, Tensor]:
    """bool [h,w] each: the cells that touch no pixel of the object [H,W], and those that touch no other pixel."""
    pixels = torch.from_numpy(np.ascontiguousarray(region)).float()[None]
    touched, left = (F.adaptive_max_pool2d(one, (height, width))[0] > 0 for one in (pixels, 1 - pixels))
    return ~touched, ~left
