"""What the maps of an image hold beside the object, and what on it: mean vectors of such cells.

Three maps are read: the latent map that the prototypes are compared with, the features of the backbone below it,
and the features of the same backbone before it was trained on these classes.  Branches may have latent maps of several
sizes; their vectors are joined.  n images, D numbers in a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from protoexplain.data.regions import object_region
from protoexplain.metrics.observe.passes import Chunk

BACKGROUND, OBJECT = range(2)
LATENT, FEATURES, FROZEN = "latent", "features", "frozen"


@dataclass(frozen=True)
class Cells:
    """Columns: the label [n]; for each map the mean vectors [n,2,D] of the cells beside the object and of those on it,
    0 where there is no such cell, and ``... found`` [n,2]: whether there is one, in the map of every branch.
    """

    name: str = "cells"
    cost = 2

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        regions = [object_region(*pair) for pair in zip(chunk.records, chunk.geometries, strict=True)]
        columns = {"label": chunk.labels}
        for name, maps in maps_of(chunk).items():
            means, found = zip(*(mean_vectors(vectors, regions) for vectors in maps), strict=True)
            columns[name], columns[f"{name} found"] = torch.cat(means, 2), torch.stack(found).all(0)
        return columns


def maps_of(chunk: Chunk) -> dict[str, list[Tensor]]:
    """Map -> vectors [n,D,h,w]; of the latent map those of each branch."""
    latent = [branch.addon(chunk.features) for _, branch in chunk.model.named_branches()]
    frozen = {} if chunk.frozen is None else {FROZEN: [chunk.frozen(chunk.images)]}
    return {LATENT: latent, FEATURES: [chunk.features], **frozen}


def mean_vectors(vectors: Tensor, regions: Sequence[NDArray[np.bool_] | None]) -> tuple[Tensor, Tensor]:
    """Means [n,2,D] of the vectors [n,D,h,w] of the cells beside each object and on it; bool [n,2] whether there are.

    Args:
        vectors: Of a map.
        regions: Where the object is in each input, as for `cells_of`.
    """
    chosen = torch.stack([cells_of(region, *vectors.shape[2:]) for region in regions]).to(vectors)
    count = chosen.sum((2, 3))
    sums = torch.einsum("ndhw,nkhw->nkd", vectors, chosen)
    return sums / count.clamp_min(1)[:, :, None], count > 0


def cells_of(region: NDArray[np.bool_] | None, height: int, width: int) -> Tensor:
    """bool [2,h,w]: the cells that touch no pixel of the object [H,W], and those whose middle lies on it.

    None of either where the object is not known.
    """
    if region is None:
        return torch.zeros(2, height, width, dtype=torch.bool)
    touched = F.adaptive_max_pool2d(torch.from_numpy(region.astype(np.float32))[None], (height, width))[0] > 0
    rows, columns = (_middles(cells, pixels) for cells, pixels in zip((height, width), region.shape, strict=True))
    return torch.stack([~touched, torch.from_numpy(region[np.ix_(rows, columns)])])


def _middles(cells: int, pixels: int) -> Sequence[int]:
    """The pixel under the middle of each cell of a line."""
    return [int((cell + 0.5) * pixels / cells) for cell in range(cells)]
