"""Similarities between latent patches and prototypes.  Higher always means closer.

A squared distance enters as its negative, so cluster cost, projection and explanation are written once for
distances and similarities.  What the head sees is an increasing function of the similarity, the activation: that of
ProtoPNet (`LogActivation`) makes of distances what its paper calls the similarity score.

Shapes: B images, D channels, H x W map, P prototypes of D x h x w, L = H' * W' cells with H' = H - h + 1.  Cells are
numbered row by row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from protoexplain.models.precision import exact, in_float32

CHUNK_ELEMENTS = 1 << 23


class Similarity(Protocol):
    """How close each patch of a latent map is to each prototype; computed in float32 under autocast, too."""

    def maps(self, z: Tensor, prototypes: Tensor) -> Tensor:
        """z [B,D,H,W], prototypes [P,D,h,w] -> [B,P,H',W'], differentiable."""

    def best(self, z: Tensor, prototypes: Tensor) -> tuple[Tensor, Tensor]:
        """The closest patch of each image: value [B,P] (differentiable) and cell [B,P]."""

    def prototypes_from(self, patches: Tensor) -> Tensor:
        """The prototypes [P,D*h*w] that projection makes of the patches [P,D*h*w] that it chose."""


def patches_of(z: Tensor, prototypes: Tensor) -> Tensor:
    """All patches of the prototypes' spatial size: [B,D*h*w,L]; a view for 1 x 1 prototypes."""
    height, width = prototypes.shape[2:]
    if (height, width) == (1, 1):
        return z.flatten(2)
    return F.unfold(z, (height, width))


def map_size(z: Tensor, prototypes: Tensor) -> tuple[int, int]:
    """Rows and columns of a similarity map, (H', W')."""
    return z.shape[2] - prototypes.shape[2] + 1, z.shape[3] - prototypes.shape[3] + 1


def patch_depth(z: Tensor, prototypes: Tensor) -> int:
    """Numbers in a latent patch, D * h * w."""
    return z.shape[1] * prototypes.shape[2] * prototypes.shape[3]


def _as_map(cells: Tensor, z: Tensor, prototypes: Tensor) -> Tensor:
    return cells.unflatten(2, map_size(z, prototypes))


def gather_patches(z: Tensor, prototypes: Tensor, cells: Tensor) -> Tensor:
    """The patches at given cells [B,P] -> [B,P,D*h*w]."""
    tokens = patches_of(z, prototypes).transpose(1, 2)
    return torch.gather(tokens, 1, cells[:, :, None].expand(-1, -1, tokens.shape[2]))


def _nearest_cells(tokens: Tensor, prototypes: Tensor) -> Tensor:
    """Cell [B,P] of the token of [B,L,F] that is nearest to each prototype [P,F]: one product per chunk of images."""
    batch, length, depth = tokens.shape
    cells = torch.empty(batch, len(prototypes), dtype=torch.long, device=tokens.device)
    step = max(1, CHUNK_ELEMENTS // max(1, length * len(prototypes)))
    for start in range(0, batch, step):
        chunk = tokens[start : start + step].reshape(-1, depth)
        partial = torch.addmm(chunk.square().sum(1, keepdim=True), chunk, prototypes.T, alpha=-2)
        cells[start : start + step] = _first_smallest(partial.view(-1, length, len(prototypes)))
    return cells


def _first_smallest(values: Tensor) -> Tensor:
    """Where along L the numbers [B,L,P] are smallest: [B,P].

    Row by row as if L were a map: the minimum alone is many times faster than the minimum with its place.
    """
    length = values.shape[1]
    width = next(w for w in range(math.isqrt(length), 0, -1) if length % w == 0)
    rows = values.unflatten(1, (-1, width))
    row = rows.amin(2).min(1).indices
    chosen = rows.gather(1, row[:, None, None].expand(-1, 1, width, -1))[:, 0]
    return row * width + chosen.min(1).indices


class _NearestPatch(torch.autograd.Function):
    """min over cells of ||token - prototype||^2 with a backward that touches only the winning cells.

    The winner is found by matrix products; its distance is then taken from the direct difference, since the expanded
    form cancels near zero.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, tokens: Tensor, prototypes: Tensor) -> tuple[Tensor, Tensor]:
        batch, length, depth = tokens.shape
        cells = _nearest_cells(tokens, prototypes)
        offsets = torch.arange(batch, device=tokens.device)[:, None] * length
        nearest = tokens.reshape(-1, depth).index_select(0, (cells + offsets).flatten()).view(batch, -1, depth)
        difference = nearest.to(prototypes.dtype).sub_(prototypes)
        ctx.save_for_backward(difference, cells)
        ctx.length = length  # type: ignore[attr-defined]
        ctx.mark_non_differentiable(cells)
        return difference.square().sum(2), cells

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, Tensor]:
        difference, cells = ctx.saved_tensors  # type: ignore[attr-defined]
        length = ctx.length  # type: ignore[attr-defined]
        batch, _, depth = difference.shape
        flow = difference * (2 * grads[0])[:, :, None]
        grad_tokens = flow.new_zeros(batch * length, depth)
        offsets = torch.arange(batch, device=cells.device)[:, None] * length
        grad_tokens.index_add_(0, (cells + offsets).flatten(), flow.view(-1, depth))
        return grad_tokens.view(batch, length, depth), -flow.sum(0)


def _squared_distances(tokens: Tensor, prototypes: Tensor) -> Tensor:
    """Squared distances [B,P,L] of all tokens [B,F,L] to all prototypes [P,F], exact where they are nearly zero.

    The expanded form is a matrix product, but cancels there: on the CPU it is computed in float64.  Accelerators take
    the differences themselves, in float32.
    """
    if tokens.device.type == "cpu":
        wide, flat = exact(tokens), exact(prototypes)
        expanded = wide.square().sum(1)[:, None] - 2 * (flat @ wide) + flat.square().sum(1)[:, None]
        return expanded.clamp_min(0).to(tokens.dtype)
    step = max(1, CHUNK_ELEMENTS // max(1, tokens[0].numel() * len(prototypes)))
    distances = [
        torch.cdist(prototypes, some.transpose(1, 2), compute_mode="donot_use_mm_for_euclid_dist")
        for some in tokens.split(step)
    ]
    return torch.cat(distances).square()


class NegativeSquaredL2:
    """-||z - p||^2 (ProtoPNet, Chen et al. 2019, section 2.1); range (-inf, 0]."""

    @in_float32
    def maps(self, z: Tensor, prototypes: Tensor) -> Tensor:
        distances = _squared_distances(patches_of(z, prototypes), prototypes.flatten(1))
        return _as_map(-distances, z, prototypes)

    @in_float32
    def best(self, z: Tensor, prototypes: Tensor) -> tuple[Tensor, Tensor]:
        if map_size(z, prototypes) == (1, 1):
            whole = self.maps(z, prototypes)[:, :, 0, 0]
            return whole, torch.zeros_like(whole, dtype=torch.long)
        tokens = patches_of(z, prototypes).transpose(1, 2)
        distances, cells = _NearestPatch.apply(tokens, prototypes.flatten(1))
        return -distances, cells

    def prototypes_from(self, patches: Tensor) -> Tensor:
        return patches


@dataclass(frozen=True)
class LogActivation:
    """ln((d + 1) / (d + epsilon)) of a squared distance d = -similarity; range (0, ln(1/epsilon)] (ProtoPNet)."""

    epsilon: float

    def __call__(self, similarity: Tensor) -> Tensor:
        return torch.log((1 - similarity) / (self.epsilon - similarity))


@dataclass(frozen=True)
class InverseActivation:
    """1 / (d + 1) of a squared distance d = -similarity; range (0, 1] (ProtoPool)."""

    def __call__(self, similarity: Tensor) -> Tensor:
        return 1 / (1 - similarity)


class ExponentialActivation:
    """exp(-d) of the distance d, from the squared distance d^2 = -similarity; range (0, 1] (ProtoTree).

    The root is taken of d^2 + 1e-14, where its slope is finite.
    """

    def __call__(self, similarity: Tensor) -> Tensor:
        return torch.exp(-torch.sqrt(1e-14 - similarity))


@dataclass(frozen=True)
class Focal:
    """How far the similarity s of each cell stands out of its image: s(d) - s(mean of d over the map) (ProtoPool).

    At the best cell it is never negative, and zero in flat maps.

    Args:
        distance: Gives -d.
        activation: The function s, of -d.
    """

    distance: NegativeSquaredL2
    activation: Callable[[Tensor], Tensor]

    def maps(self, z: Tensor, prototypes: Tensor) -> Tensor:
        near = self.distance.maps(z, prototypes)
        return self.activation(near) - self.activation(near.mean((2, 3), keepdim=True))

    def best(self, z: Tensor, prototypes: Tensor) -> tuple[Tensor, Tensor]:
        values, cells = self.maps(z, prototypes).flatten(2).max(2)
        return values, cells

    def prototypes_from(self, patches: Tensor) -> Tensor:
        return patches


class DotProduct:
    """<z, p/|p|>, the dot product with the prototype of length one; range (-inf, inf), as z keeps its length.

    ST-ProtoPNet on crops (Wang et al. 2023), after TesNet (Wang et al. 2021), which call it the projection of a patch
    onto a prototype.  It is not the projection of prototypes onto training patches ("push").
    """

    @in_float32
    def maps(self, z: Tensor, prototypes: Tensor) -> Tensor:
        return _as_map(F.normalize(prototypes.flatten(1), dim=1) @ patches_of(z, prototypes), z, prototypes)

    def best(self, z: Tensor, prototypes: Tensor) -> tuple[Tensor, Tensor]:
        values, cells = self.maps(z, prototypes).flatten(2).max(2)
        return values, cells

    def prototypes_from(self, patches: Tensor) -> Tensor:
        return F.normalize(patches, dim=1)


class Cosine(DotProduct):
    """cos(z, p), range [-1, 1] (ST-ProtoPNet on whole images)."""

    @in_float32
    def maps(self, z: Tensor, prototypes: Tensor) -> Tensor:
        tokens = F.normalize(patches_of(z, prototypes), dim=1)
        return _as_map(F.normalize(prototypes.flatten(1), dim=1) @ tokens, z, prototypes)


class RectifiedCosine(DotProduct):
    """ReLU of the mean cosine over the h * w positions, divided by 1.01: range [0, 1) (cosine ProtoPNet, 2026).

    As published, small constants under the roots keep lengths from zero, and a negative cosine has no gradient.
    """

    _SMALL, _MARGIN = 1e-4, 1.01

    @in_float32
    def maps(self, z: Tensor, prototypes: Tensor) -> Tensor:
        positions = prototypes.shape[2] * prototypes.shape[3]
        cells = z / (z.square().sum(1, keepdim=True) + self._SMALL).sqrt()
        lengths = (prototypes.square().sum(1, keepdim=True) + self._SMALL).sqrt() + self._SMALL
        cosines = (prototypes / lengths).flatten(1) @ patches_of(cells, prototypes)
        return _as_map(F.relu(cosines / (positions * self._MARGIN)), z, prototypes)

    def prototypes_from(self, patches: Tensor) -> Tensor:
        return patches


class ChannelAxes:
    """Softmax over the channels of z at each cell; prototype k is the axis of channel c_k (CBC 2024, PIP-Net).

    Range (0, 1).  As all axes have length one, this is a normalised Gaussian kernel of the distance between z and
    the axis.  The prototypes tensor [P,1,1,1] holds the channel numbers c_k.
    """

    @in_float32
    def maps(self, z: Tensor, prototypes: Tensor) -> Tensor:
        probability = z.softmax(1)
        return probability if len(prototypes) == z.shape[1] else probability[:, prototypes.flatten().long()]

    def best(self, z: Tensor, prototypes: Tensor) -> tuple[Tensor, Tensor]:
        values, cells = self.maps(z, prototypes).flatten(2).max(2)
        return values, cells

    def prototypes_from(self, patches: Tensor) -> Tensor:
        return patches
