"""Peaks of cubic-upsampled similarity maps, exact and without making all the pixels.

The peak is the first pixel, row by row, where the map upsampled to S x S (cubic, a = -0.75, half-pixel centres, edges
replicated, as OpenCV does it) is largest in float32 (Huang et al. 2023).  The pixels between four cells are a block:
a bicubic patch that 4 x 4 cells determine.  No point of a patch is larger than the largest of its Bernstein
coefficients, and these shrink towards the patch when it is halved.  They leave one or two blocks of a map, whose
pixels are worked out.  M maps of h x w cells; block (i, j) lies between the cells (i - 1, j - 1) and (i, j).
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

_A = -0.75
_MARGIN = 1e-5
"""Of a map's range: more than float32 rounds, less than would let more blocks through."""
_BERNSTEIN = ((0, 1, 0, 0), (_A / 3, 1, -_A / 3, 0), (0, -_A / 3, 1, _A / 3), (0, 0, 1, 0))
"""Coefficients of the cubic between the second and the third of four cells."""
_HALVES = (
    (1, 0, 0, 0),
    (1 / 2, 1 / 2, 0, 0),
    (1 / 4, 1 / 2, 1 / 4, 0),
    (1 / 8, 3 / 8, 3 / 8, 1 / 8),
    (0, 1 / 4, 1 / 2, 1 / 4),
    (0, 0, 1 / 2, 1 / 2),
    (0, 0, 0, 1),
)
"""Coefficients of both halves of a cubic from its own (de Casteljau); the middle one is in both."""


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


@lru_cache(maxsize=32)
def _coefficients(cells: int) -> Tensor:
    """[3*(cells+1)+1,cells]: a line of cells -> Bernstein coefficients of its intervals; neighbours share one."""
    around = torch.eye(cells)[(torch.arange(-2, cells + 2)).clamp(0, cells - 1)].unfold(0, 4, 1)
    rows = torch.einsum("pk,ick->ipc", torch.tensor(_BERNSTEIN), around)
    return torch.cat([rows[:, :3].flatten(0, 1), rows[-1, 3:]])


@lru_cache(maxsize=1)
def _halved() -> Tensor:
    """[16,49]: the 4 x 4 cells around a block -> Bernstein coefficients of its quarters."""
    line = torch.tensor(_HALVES) @ torch.tensor(_BERNSTEIN)
    return torch.kron(line, line).T.contiguous()


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
    height, width = flat.shape[1:]
    (y, down), (x, across) = _line(height, size), _line(width, size)
    padded = F.pad(flat[:, None], (2, 2, 2, 2), mode="replicate")[:, 0]
    stencils = padded.unfold(1, 4, 1).unfold(2, 4, 1)
    bound = _bounds(flat.float())
    blocks = bound.shape[1]

    def position(chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map, row and column of blocks that are counted through."""
        return chosen // blocks, chosen % blocks // (width + 1), chosen % (width + 1)

    def pixels(chosen: Tensor) -> Tensor:
        """[n,rows,columns] of blocks in float32."""
        owner, row, column = position(chosen)
        return down.float()[row] @ stencils[owner, row, column].float() @ across.float()[column].transpose(1, 2)

    likely = torch.arange(len(flat)) * blocks + bound.argmax(1)
    reached = pixels(likely).amax((1, 2)) - 2 * _MARGIN
    left = torch.nonzero((bound >= reached[:, None]).flatten()).flatten()
    left = left[(stencils[position(left)].float().flatten(1) @ _halved()).amax(1) >= reached[left // blocks]]
    values = pixels(left)
    highest = values.amax((1, 2))
    reached.scatter_reduce_(0, left // blocks, highest - 2 * _MARGIN, "amax")
    left, values = (table[highest >= reached[left // blocks]] for table in (left, values))
    place, i, j = torch.nonzero(values >= reached[left // blocks, None, None]).unbind(1)
    owner, row, column = position(left[place])
    exact = torch.einsum("ni,nij,nj->n", down[row, i], stencils[owner, row, column], across[column, j]).float()
    best = torch.full((len(flat),), -torch.inf).scatter_reduce_(0, owner, exact, "amax")
    candidate = (y[row, i] * size + x[column, j]).masked_fill(exact < best[owner], size * size)
    return torch.full((len(flat),), size * size).scatter_reduce_(0, owner, candidate, "amin")


def _bounds(flat: Tensor) -> Tensor:
    """[M,blocks]: no pixel of a block is larger, from maps [M,h,w]."""
    rows, columns = map(_coefficients, flat.shape[1:])
    down = _of_fours(rows @ (flat @ columns.T))
    return _of_fours(down.transpose(1, 2)).transpose(1, 2).flatten(1)


def _of_fours(points: Tensor) -> Tensor:
    """[M,n,k]: the largest of the four coefficients of each interval, from [M,3*n+1,k]."""
    first, second, third, last = points[:, :-1:3], points[:, 1::3], points[:, 2::3], points[:, 3::3]
    return torch.maximum(torch.maximum(first, second), torch.maximum(third, last))
