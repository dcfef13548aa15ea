"""Scores of the misalignment benchmark (Sacha et al. 2024): what changes in a box when only what lies outside changes.

N images, P prototypes.  Prototypes of other classes than the image's are foreign.
"""

from __future__ import annotations

import torch
from torch import Tensor

from protoexplain.regions.boxes import upsample_bilinear

HOTTEST = 0.1
"""Share of the pixels that make up the region where a prototype is said to look (published)."""
INDEPENDENT = 100 * (1 - HOTTEST / (2 - HOTTEST))
"""Displacement of two regions of that share which have nothing to do with each other, in percent."""


def activation_change(before: Tensor, after: Tensor) -> Tensor:
    """Percent by which activations [N] fell, negative if they rose; NaN where there was none (PAC)."""
    change = 100 * (1 - after.double() / before.double())
    return change.masked_fill(before <= 0, torch.nan)


def rank_change(before: Tensor, after: Tensor, target: Tensor, foreign: Tensor) -> Tensor:
    """By how many foreign prototypes more are above the target than before (PRC), float64 [N].

    Args:
        before: Activations [N,P].
        after: The same after the change.
        target: int64 [N] the prototype of each image.
        foreign: bool [N,P].
    """

    def above(activations: Tensor) -> Tensor:
        return ((activations > activations.gather(1, target[:, None])) & foreign).sum(1)

    return (above(after) - above(before)).double()


def hottest_region(maps: Tensor, size: int) -> Tensor:
    """bool [N,S,S]: the pixels of maps [N,h,w], upsampled bilinearly, that lie above their 0.9 quantile."""
    pixels = upsample_bilinear(maps, size)
    return pixels > pixels.flatten(1).quantile(1 - HOTTEST, dim=1)[:, None, None]


def displacement(before: Tensor, after: Tensor, size: int) -> Tensor:
    """100 (1 - IoU) of the hottest regions of maps [N,h,w] before and after (PLC); 0 where both are empty."""
    first, second = hottest_region(before, size), hottest_region(after, size)
    union = (first | second).sum((1, 2))
    return 100 * (1 - (first & second).sum((1, 2)) / union.clamp_min(1)).double() * (union > 0)
