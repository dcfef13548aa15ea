"""From a coarse activation map to pixels: cubic upsampling, boxes of high activation, the heat map.

Upsampling, `high_activation_boxes` and overlays are as published with ProtoPNet (Chen et al. 2019): kernel parameter
a = -0.75, half-pixel centres, edges replicated.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from protoexplain.data.geometry import Box

_SAMPLED, _MARGIN = 16, 0.015
"""A sample of every so many pixels bounds a percentile from below, with this margin."""


@lru_cache(maxsize=32)
def _cubic_weights(cells: int, pixels: int) -> Tensor:
    """[pixels,cells]: what each cell of a line adds to each pixel."""
    identity = torch.eye(cells)[None, None]
    return F.interpolate(identity, (pixels, cells), mode="bicubic", align_corners=False)[0, 0]


def upsample(maps: Tensor, height: int, width: int) -> Tensor:
    """Cubic upsampling of many maps by two matrix products.

    Args:
        maps: [...,h,w].
        height: In pixels.
        width: In pixels.

    Returns:
        [...,height,width]; overshoots the values of the map; exactly constant where the map is.
    """
    rows, columns = (
        _cubic_weights(cells, pixels).to(maps) for cells, pixels in zip(maps.shape[-2:], (height, width), strict=True)
    )
    lowest = maps.amin((-2, -1), keepdim=True)
    return rows @ (maps - lowest) @ columns.T + lowest


def upsample_bilinear(maps: Tensor, size: int) -> Tensor:
    """Bilinear upsampling of maps [N,h,w] to [N,S,S], half-pixel centres."""
    return F.interpolate(maps[:, None], (size, size), mode="bilinear", align_corners=False)[:, 0]


def high_activation_boxes(maps: Tensor, percentile: float = 95.0) -> list[Box]:
    """Tight bounds of the pixels at or above a percentile (linear interpolation) of each map [N,H,W]."""
    maps = maps.detach().cpu()
    levels = [_percentile(pixels, percentile) for pixels in maps.flatten(1).numpy()]
    return boxes_above(maps, torch.tensor(levels, dtype=maps.dtype))


def peak_boxes(maps: Tensor, percentile: float = 95.0) -> list[Box]:
    """Tight bounds of the connected component that holds the first maximum of each map [N,H,W].

    Components are made of the pixels at or above a percentile (linear interpolation) of the map; pixels that touch
    at a corner are connected.
    """
    import cv2

    boxes = []
    for pixels in maps.detach().cpu().numpy():
        marked = (pixels >= _percentile(pixels.ravel(), percentile)).view(np.uint8)
        row, column = divmod(int(pixels.argmax()), pixels.shape[1])
        x, y, width, height = cv2.floodFill(marked, None, (column, row), 2, flags=8)[3]
        boxes.append(Box(x, y, x + width, y + height))
    return boxes


def _percentile(values: NDArray[np.floating], percentile: float) -> float:
    """np.percentile, three times faster for high percentiles: only values above that of a sample are sorted."""
    place = percentile / 100 * (len(values) - 1)
    below, needed = int(place), len(values) - int(place)
    sample = values[::_SAMPLED]
    bound = max(0, int((percentile / 100 - _MARGIN) * (len(sample) - 1)))
    high = values[values >= np.partition(sample, bound)[bound]]
    if len(high) < needed:
        high = values
    first = below - (len(values) - len(high))
    last = min(first + 1, len(high) - 1)
    ordered = np.partition(high, (first, last))
    low, step = float(ordered[first]), float(ordered[last]) - float(ordered[first])
    return low + step * (place - below)


def boxes_above(maps: Tensor, levels: Tensor) -> list[Box]:
    """Tight bounds of the pixels at or above the level [N] of each map [N,H,W]; a level is at most the maximum."""
    y0, y1 = _bounds(maps.amax(2) >= levels[:, None])
    x0, x1 = _bounds(maps.amax(1) >= levels[:, None])
    return [Box(*edges) for edges in torch.stack([x0, y0, x1, y1], 1).tolist()]


def _bounds(marked: Tensor) -> tuple[Tensor, Tensor]:
    """First and one past the last marked position in each row."""
    marks = marked.long()
    return marks.argmax(1), marked.shape[1] - marks.flip(1).argmax(1)


def heat_colours(pixels: Tensor) -> NDArray[np.float32]:
    """The map [H,W], stretched to its own range, in the JET palette: [H,W,3] RGB in [0, 1]."""
    import cv2

    values = pixels.detach().cpu().float().numpy()
    values = values - values.min()
    values = values / max(float(values.max()), np.finfo(np.float32).tiny)
    bgr = cv2.applyColorMap((255 * values).astype(np.uint8), cv2.COLORMAP_JET)
    return np.ascontiguousarray(bgr[:, :, ::-1]).astype(np.float32) / np.float32(255)


def overlay(image: NDArray[np.float32], pixels: Tensor) -> NDArray[np.float32]:
    """0.5 image + 0.3 heat map, as published; image [H,W,3] in [0, 1], map [H,W]."""
    return (0.5 * image + 0.3 * heat_colours(pixels)).astype(np.float32)
