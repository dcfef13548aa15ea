"""How the prototypes of a class share the object among them (Zhu et al. 2025): distinctiveness, comprehensiveness.

n images, K prototypes of the image's class, S = 224 pixels whatever the size of the input.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from protoexplain.regions.boxes import upsample_bilinear

SIZE, BOX, LEVEL, MOST = 224, 72, 0.6, 5
"""Side of the maps, side of the boxes, share of a map's range that its mask reaches, prototypes that count."""


def pooled_pixels(maps: Tensor) -> Tensor:
    """[K,S,S]: maps [K,h,w] averaged over 2 x 2 cells, where there are such, then upsampled bilinearly."""
    pooled = F.avg_pool2d(maps[:, None], 2)[:, 0] if min(maps.shape[1:]) > 1 else maps
    return upsample_bilinear(pooled, SIZE)


def strongest_of(maxima: Tensor) -> Tensor:
    """int64 [K']: the maps of the largest maxima [K], largest first; all in their order where they are no more."""
    if len(maxima) <= MOST:
        return torch.arange(len(maxima))
    return maxima.argsort(dim=0, descending=True, stable=True)[:MOST]


def peaks_of(pixels: Tensor) -> Tensor:
    """int64 [K,2]: (y, x) of the first maximum of maps [K,S,S]."""
    places = pixels.flatten(1).argmax(1)
    return torch.stack([places // pixels.shape[2], places % pixels.shape[2]], 1)


def box_overlap(centres: Tensor, side: int = BOX) -> float:
    """The mean IoU of the boxes around two of the centres [K,2]; NaN for fewer than two."""
    first, second = torch.triu_indices(len(centres), len(centres), 1)
    apart = (centres[first] - centres[second]).abs().double()
    common = (side - apart).clamp_min(0).prod(1)
    return float((common / (2 * side**2 - common)).mean())


def united_masks(pixels: Tensor, level: float = LEVEL) -> Tensor:
    """bool [S,S]: where one of the maps [K,S,S] reaches a share of its range; constant maps reach it nowhere."""
    low, high = pixels.amin((1, 2), keepdim=True), pixels.amax((1, 2), keepdim=True)
    return ((pixels - low) / (high - low) >= level).any(0)


def region_overlap(mask: Tensor, region: Tensor) -> float:
    """IoU of a mask and a region, both bool [S,S]."""
    return float((mask & region).sum() / ((mask | region).sum() + 1e-6))
