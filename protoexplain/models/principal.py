"""Where the object lies, by the first principal component of patches (Zhu et al. 2025).

Patches of the object and of the background differ most where pictures are cut to their objects.
"""

from __future__ import annotations

import torch
from torch import Tensor

from protoexplain.models.precision import exact, in_float32

_MIDDLE = 0.5
_TAIL = 0.01
"""Share of the patches at each end that do not count in the range: one of them would move its middle."""


def first_component(vectors: Tensor) -> Tensor:
    """Unit vector [D] along which vectors [N,D] vary most, whose first number is negative."""
    centred = exact(vectors - vectors.mean(0))
    direction = torch.linalg.eigh((centred.T @ centred).cpu()).eigenvectors[:, -1]
    return torch.where(direction[0] < 0, direction, -direction).to(vectors)


@torch.no_grad()
def published_foreground(patches: Tensor) -> Tensor:
    """bool [B,H,W]: cells below the middle of the range of the first component of patches [B,D,H,W].

    The sign of the component's first number decides which side is the object, as in the published code, and one
    outlier moves the middle.
    """
    return scaled_component(patches) <= _MIDDLE


@in_float32
def scaled_component(patches: Tensor) -> Tensor:
    """The first component of patches [B,D,H,W] as maps [B,H,W] from 0 to 1 over all of them."""
    rows = patches.movedim(1, 3)
    along = rows @ first_component(rows.flatten(0, 2))
    lowest = along.min()
    return (along - lowest) / (along.max() - lowest).clamp_min(torch.finfo(along.dtype).tiny)


def foreground_rule(vectors: Tensor, outside: Tensor) -> tuple[Tensor, Tensor]:
    """Weight [D] and bias [1] of a rule by which patches v show the object: weight * v + bias > 0.

    The first component of a sample is cut at the middle of its range; the object is on the side that has fewer of the
    patches at the edges of pictures.

    Args:
        vectors: [N,D], the sample.
        outside: bool [N], which of them lie at an edge.
    """
    direction = first_component(vectors)
    along = vectors @ direction
    middle = torch.quantile(along, torch.tensor([_TAIL, 1 - _TAIL]).to(along)).mean()
    sign = -1.0 if (along[outside] > middle).float().mean() > _MIDDLE else 1.0
    return sign * direction, (-sign * middle)[None]
