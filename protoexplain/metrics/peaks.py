"""Peaks of cubic-upsampled similarity maps, exact and without making the pixels.

The peak is the first pixel, row by row, where the map upsampled to S x S (cubic, a = -0.75, half-pixel centres, edges
replicated, as OpenCV does it) is largest in float32 (Huang et al. 2023).  Between two map rows a column of pixels
follows a cubic; a bound on it, then its true maximum, leave two or three columns of a map whose pixels are worked
out.  M maps of h x w cells; interval i lies between the rows i - 1 and i.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

_A = -0.75
_OVERSHOOT = -_A / 4
"""Largest sum of the sizes of the two outer cubic weights, at the middle between two cells."""
_MARGIN = 1e-5
"""Of a map's range: more than float32 rounds, less than would let more columns through."""


@lru_cache(maxsize=32)
def _stencil(cells: int, pixels: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each pixel of a line: its interval, the four cells around it [pixels,4] and their weights [pixels,4]."""
    place = (torch.arange(pixels, dtype=torch.float64) + 0.5) * (cells / pixels) - 0.5
    before = place.floor()
    t = place - before
    outer_left, outer_right = _A * t * (1 - t).square(), _A * t.square() * (1 - t)
    left = ((_A + 2) * t - (_A + 3)) * t.square() + 1
    weights = torch.stack([outer_left, left, 1 - outer_left - left - outer_right, outer_right], 1)
    around = (before.long()[:, None] + torch.arange(-1, 3)).clamp(0, cells - 1)
    return before.long() + 1, around, weights


@lru_cache(maxsize=32)
def _line_weights(cells: int, pixels: int) -> Tensor:
    """float32 [cells,pixels]: what each cell of a line adds to each pixel."""
    _, around, weights = _stencil(cells, pixels)
    return torch.zeros(pixels, cells, dtype=torch.float64).scatter_add_(1, around, weights).float().T.contiguous()


@lru_cache(maxsize=32)
def _pixels_between(cells: int, pixels: int) -> Tensor:
    """The pixels of each interval [cells+1,most], -1 where it has fewer."""
    interval, _, _ = _stencil(cells, pixels)
    groups = [torch.nonzero(interval == number).flatten() for number in range(cells + 1)]
    return torch.nn.utils.rnn.pad_sequence(groups, batch_first=True, padding_value=-1)


def peaks(maps: Tensor, size: int) -> Tensor:
    """The peak of each map.

    Args:
        maps: [...,h,w] similarity.
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
        found[varied] = _places(flat[varied], spread[varied], size)
    return torch.stack([found // size, found % size], 1).view(*maps.shape[:-2], 2)


def _places(flat: Tensor, spread: Tensor, size: int) -> Tensor:
    """y * S + x of the peak of each map whose least value is 0."""
    lines = flat.float() @ _line_weights(flat.shape[2], size)
    padded = torch.cat([lines[:, :1], lines[:, :1], lines, lines[:, -1:], lines[:, -1:]], 1)
    r0, r1, r2, r3 = (padded[:, k : k + flat.shape[1] + 1] for k in range(4))
    top = torch.maximum(r1, r2)
    bound = top.add((top - torch.minimum(r0, r3)).clamp_min_(0), alpha=_OVERSHOOT).flatten(1)
    columns = bound.shape[1]
    start = torch.arange(len(flat)) * columns + bound.argmax(1)
    reached = _column_pixels(flat, start, size)[0].amax(1).double() - _MARGIN * spread
    survivors = torch.nonzero((bound >= reached.float()[:, None]).flatten()).flatten()
    owner = survivors // columns
    first = survivors + owner * (padded[0].numel() - columns)
    highest = _column_maximum(*(padded.flatten()[first + k * size].double() for k in range(4)))
    candidates = survivors[highest >= reached[owner] - _MARGIN * spread[owner]]
    owner = candidates // columns
    values, places = _column_pixels(flat, candidates, size)
    best = torch.full((len(flat),), -torch.inf).scatter_reduce_(0, owner, values.amax(1), "amax")
    earliest = places.masked_fill(values < best[owner, None], size * size).amin(1)
    return torch.full((len(flat),), size * size).scatter_reduce_(0, owner, earliest, "amin")


def _column_maximum(r0: Tensor, r1: Tensor, r2: Tensor, r3: Tensor) -> Tensor:
    """Largest value on [0, 1] of the cubic through four map rows, between the second and the third."""
    c1 = _A * (r0 - r2)
    c2 = -2 * _A * r0 - (_A + 3) * r1 + (2 * _A + 3) * r2 + _A * r3
    c3 = _A * (r0 - r3) + (_A + 2) * (r1 - r2)
    root = (c2.square() - 3 * c1 * c3).clamp_min(0).sqrt()
    t = torch.where(c2 < 0, c1 / (root - c2), -(c2 + root) / (3 * c3)).nan_to_num(0).clamp(0, 1)
    return torch.maximum(torch.maximum(r1, r2), ((c3 * t + c2) * t + c1) * t + r1)


def _column_pixels(flat: Tensor, columns: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Float32 values and places (y * S + x) [n,most] of the pixels of columns (map, interval, x), counted through."""
    height, width = flat.shape[1:]
    x, interval, owner = columns % size, columns // size % (height + 1), columns // (size * (height + 1))
    y = _pixels_between(height, size)[interval]
    _, across, across_weights = _stencil(width, size)
    _, _, down_weights = _stencil(height, size)
    rows = (interval[:, None] + torch.arange(-2, 2)).clamp(0, height - 1)
    cells = flat[owner[:, None, None], rows[:, :, None], across[x][:, None]]
    four = (cells * across_weights[x][:, None]).sum(2)
    values = (down_weights[y] * four[:, None]).sum(2).float()
    return values.masked_fill_(y < 0, -torch.inf), y * size + x[:, None]
