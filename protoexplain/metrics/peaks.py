"""Peaks of cubic-upsampled similarity maps, exact and without making all the pixels.

The peak is the first pixel, row by row, where the map upsampled to S x S (cubic, a = -0.75, half-pixel centres, edges
replicated, as OpenCV does it) is largest in float32 (Huang et al. 2023).  The pixels between four cells are a block
that 4 x 4 cells determine.  A bound on each block leaves a few of a map, whose pixels are worked out.  M maps of
h x w cells; block (i, j) lies between the cells (i - 1, j - 1) and (i, j).
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

_A = -0.75
_OVERSHOOT = -_A / 4
"""Largest sum of the sizes of the two outer cubic weights, at the middle between two cells."""
_MARGIN = 1e-5
"""Of a map's range: more than float32 rounds, less than would let more blocks through."""


@lru_cache(maxsize=32)
def _line(cells: int, pixels: int) -> tuple[Tensor, Tensor]:
    """The pixels of a line between neighbouring cells, and the weights of the four cells around them.

    Returns:
        int64 [cells+1,most] (the last pixel again where an interval has fewer); float64 [cells+1,most,4].
    """
    place = (torch.arange(pixels, dtype=torch.float64) + 0.5) * (cells / pixels) - 0.5
    before = place.floor()
    t = place - before
    outer_left, outer_right = _A * t * (1 - t).square(), _A * t.square() * (1 - t)
    left = ((_A + 2) * t - (_A + 3)) * t.square() + 1
    weights = torch.stack([outer_left, left, 1 - outer_left - left - outer_right, outer_right], 1)
    first = torch.searchsorted(before, torch.arange(-1.0, cells, dtype=torch.float64))
    last = torch.cat([first[1:], torch.tensor([pixels])]) - 1
    pixel = torch.minimum(first[:, None] + torch.arange(int((last - first).max()) + 1), last[:, None])
    return pixel, weights[pixel]


def peaks(maps: Tensor, size: int) -> Tensor:
    """The peak of each map.

    Args:
        maps: [...,h,w] similarity, not larger than S x S.
        size: Side S of the picture in pixels.

    Returns:
        int64 [...,2], (y, x) on the CPU; (0, 0) for a constant map.
    """
    flat = maps.detach().cpu().double().reshape(-1, *maps.shape[-2:])
    flat = flat - flat.amin((1, 2), keepdim=True)
    spread = flat.amax((1, 2))
    found = torch.zeros(len(flat), dtype=torch.long)
    varied = torch.nonzero(spread > 0).flatten()
    if len(varied):
        found[varied] = _places(flat[varied] / spread[varied, None, None], size)
    return torch.stack([found // size, found % size], 1).view(*maps.shape[:-2], 2)


def _places(flat: Tensor, size: int) -> Tensor:
    """y * S + x of the peak of each map with values from 0 to 1."""
    padded = F.pad(flat[:, None], (2, 2, 2, 2), mode="replicate")[:, 0]
    stencils = padded.unfold(1, 4, 1).unfold(2, 4, 1)
    bound = _bounds(padded.float()).flatten(1)
    blocks, width = bound.shape[1], flat.shape[2] + 1

    def pixels(chosen: Tensor, kind: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Values [n,rows,columns] of blocks, counted through, and the pixels [n,rows], [n,columns]."""
        owner, row, column = chosen // blocks, chosen % blocks // width, chosen % width
        (y, down), (x, across) = _line(flat.shape[1], size), _line(flat.shape[2], size)
        cells = stencils[owner, row, column].to(kind)
        return down.to(kind)[row] @ cells @ across.to(kind)[column].transpose(1, 2), y[row], x[column]

    start = torch.arange(len(flat)) * blocks + bound.argmax(1)
    reached = pixels(start, torch.float32)[0].amax((1, 2)) - 2 * _MARGIN
    left = torch.nonzero((bound >= reached[:, None]).flatten()).flatten()
    highest = pixels(left, torch.float32)[0].amax((1, 2))
    reached.scatter_reduce_(0, left // blocks, highest - 2 * _MARGIN, "amax")
    left = left[highest >= reached[left // blocks]]
    exact, y, x = pixels(left, torch.float64)
    value, first = exact.float().flatten(1).max(1)
    place = y.gather(1, first[:, None] // x.shape[1]) * size + x.gather(1, first[:, None] % x.shape[1])
    best = torch.full((len(flat),), -torch.inf).scatter_reduce_(0, left // blocks, value, "amax")
    candidate = place[:, 0].masked_fill(value < best[left // blocks], size * size)
    return torch.full((len(flat),), size * size).scatter_reduce_(0, left // blocks, candidate, "amin")


def _bounds(padded: Tensor) -> Tensor:
    """[M,h+1,w+1]: nothing between four cells is larger, from [M,h+4,w+4] cells with two more at each edge.

    Across, the extremes between two cells of each row; down, at most their largest plus the overshoot over the rows
    around them.
    """
    c0, c1, c2, c3 = (padded[:, :, k : padded.shape[2] - 3 + k] for k in range(4))
    high = _cubic_maximum(c0, c1, c2, c3)
    low = torch.minimum(c1, c2) - _OVERSHOOT * (torch.maximum(c0, c3) - torch.minimum(c1, c2)).clamp_min_(0)
    rows = padded.shape[1] - 3
    top = torch.maximum(high[:, 1 : 1 + rows], high[:, 2 : 2 + rows])
    around = torch.minimum(low[:, :rows], low[:, 3 : 3 + rows])
    return top + _OVERSHOOT * (top - around).clamp_min_(0)


def _cubic_maximum(r0: Tensor, r1: Tensor, r2: Tensor, r3: Tensor) -> Tensor:
    """Largest value of the cubic through four cells, between the second and the third."""
    c1 = _A * (r0 - r2)
    c2 = -2 * _A * r0 - (_A + 3) * r1 + (2 * _A + 3) * r2 + _A * r3
    c3 = _A * (r0 - r3) + (_A + 2) * (r1 - r2)
    root = (c2.square() - 3 * c1 * c3).clamp_min(0).sqrt()
    t = torch.where(c2 < 0, c1 / (root - c2), -(c2 + root) / (3 * c3)).nan_to_num(0, 0, 0).clamp(0, 1)
    return torch.maximum(torch.maximum(r1, r2), ((c3 * t + c2) * t + c1) * t + r1)
