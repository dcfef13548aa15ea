"""What noise outside a prototype's box changes, by the measures of QuanProto; each of one map before and after.

They share names with the misalignment benchmark, and mean other things.  Maps are similarities, at their cells or
upsampled to pixels and cut off below 0 (saliency).  M maps, h x w cells, S pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

HOTTEST, HALF = 0.95, 0.5
"""Quantile of a saliency map from which on pixels are marked, and share of a map's range above which cells are."""


def percentile_masks(pixels: Tensor) -> Tensor:
    """bool [M,S,S]: where maps reach their own 0.95 quantile."""
    return pixels >= pixels.flatten(1).quantile(HOTTEST, dim=1)[:, None, None]


def marked(pixels: Tensor) -> Tensor:
    """Saliency maps [M,S,S] that are 0 outside their masks."""
    return pixels * percentile_masks(pixels)


def half_masks(maps: Tensor) -> Tensor:
    """bool [M,h,w]: where maps lie above half of their range; nowhere where they are constant."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low) > HALF


def marked_box(pixels: Tensor) -> tuple[int, int, int, int]:
    """(x0, y0, x1, y1), ends included: bounds of the mask of a saliency map [S,S] that is masked already."""
    rows, columns = torch.nonzero(percentile_masks(pixels[None])[0]).unbind(1)
    return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())


def mask_change(before: Tensor, after: Tensor) -> Tensor:
    """float64 [M]: 1 - IoU of masks [M,...]; 0 where both are empty."""
    first, second = before.flatten(1), after.flatten(1)
    union = (first | second).sum(1)
    return 1 - torch.where(union == 0, 1.0, (first & second).sum(1).double() / union.clamp_min(1))


def sorted_change(before: Tensor, after: Tensor) -> Tensor:
    """float64 [M]: 1 - (sum of minima / sum of maxima) of the sorted values of maps [M,...], which are not negative."""
    first, second = (table.double().flatten(1).sort(1).values for table in (before, after))
    most = torch.maximum(first, second).sum(1)
    return 1 - torch.where(most == 0, 1.0, torch.minimum(first, second).sum(1) / most)


def cell_distance(before: Tensor, after: Tensor) -> Tensor:
    """float64 [M]: cells between the first maxima of maps [M,h,w], down plus across."""
    places = [table.flatten(1).argmax(1) for table in (before, after)]
    width = before.shape[2]
    down, across = places[0] // width - places[1] // width, places[0] % width - places[1] % width
    return (down.abs() + across.abs()).double()


def peak_change(before: Tensor, after: Tensor) -> Tensor:
    """float64 [M]: the size of the change of the maximum of maps [M,h,w], as a share of what it was; NaN for 0."""
    first, second = (table.double().amax((1, 2)) for table in (before, after))
    return ((first - second).abs() / first).masked_fill(first == 0, torch.nan)


def ranks_of(peaks: Tensor, chosen: Tensor) -> Tensor:
    """int64 [M]: how many prototypes are above the chosen one [M], the first of equal ones above, from peaks [M,P]."""
    order = peaks.argsort(dim=1, descending=True, stable=True)
    return (order == chosen[:, None]).int().argmax(1)
