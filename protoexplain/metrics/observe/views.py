"""Views of an image by known geometry, and where peaks in them lie in the image itself.

A warp [3,3] takes points (x, y, 1) of a view to points of the image, both in pixels of the input.  V views, N images,
K prototypes of an image's class, S the side of the input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from protoexplain.data.warps import flipping, scaling, shifting, turning
from protoexplain.metrics.observe.passes import Chunk, own_peaks
from protoexplain.metrics.stats.randomness import seed_of

KEPT, SHIFT, DEGREES = 0.75, 0.2, 20.0
"""Side of the crop and length of the shift, as parts of the side; angle of the rotation.

A shift is longer than the half window, so that a peak which stays where it is does not pass for one that follows.
"""

Warp = NDArray[np.float64]


def _crop(size: int, rng: np.random.Generator) -> Warp:
    x, y = rng.uniform(0, (1 - KEPT) * size, 2)
    return shifting(x, y) @ scaling(KEPT, KEPT)


def _shift(size: int, rng: np.random.Generator) -> Warp:
    length = SHIFT * size * rng.choice((-1, 1))
    return shifting(length, 0) if rng.random() < 0.5 else shifting(0, length)


def _rotation(size: int, rng: np.random.Generator) -> Warp:
    return turning(DEGREES * rng.choice((-1, 1)), (size / 2, size / 2))


VIEWS: Mapping[str, Callable[[int, np.random.Generator], Warp]] = {
    "flip": lambda size, rng: flipping(size),
    "crop": _crop,
    "shift": _shift,
    "rotation": _rotation,
}


@dataclass(frozen=True)
class View:
    """Peaks (y, x) in one view of each image, and the warp of the view."""

    view: str
    seed: int
    cost = 1

    @property
    def name(self) -> str:
        return f"views/{self.view}"

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        size = chunk.description.size
        rngs = [np.random.default_rng(seed_of(self.seed, self.name, id_)) for id_ in chunk.ids]
        warps = torch.from_numpy(np.stack([VIEWS[self.view](size, rng) for rng in rngs]))
        features = chunk.model.backbone(warped(chunk.images, warps))
        return {"peaks": own_peaks(chunk.model, chunk.description, features, chunk.labels), "warp": warps}


def warped(images: Tensor, warps: Tensor) -> Tensor:
    """The views [n,3,S,S] of images under warps [n,3,3]; bilinear, edges replicated."""
    size = images.shape[3]
    centres = torch.arange(size, dtype=torch.float64) + 0.5
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], 2).view(-1, 3)
    where = (points @ warps[:, :2].transpose(1, 2)).view(-1, size, size, 2)
    grid = (2 * where / size - 1).to(images)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def in_image(peaks: Tensor, warps: Tensor) -> Tensor:
    """Points (x, y) of the images float64 [V,N,K,2] under the centres of peak pixels (y, x) of their views.

    Args:
        peaks: int [V,N,K,2].
        warps: [V,N,3,3].
    """
    return _transformed(peaks.flip(3).double() + 0.5, warps)


def in_view(points: Tensor, warps: Tensor) -> Tensor:
    """Points (x, y) of the views under points of the images, both float64 [V,N,K,2]."""
    return _transformed(points, torch.linalg.inv(warps))


def _transformed(points: Tensor, warps: Tensor) -> Tensor:
    return points @ warps[..., :2, :2].transpose(2, 3) + warps[..., None, :2, 2]
