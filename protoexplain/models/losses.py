"""The terms of the training losses.  Weights live in the configuration, directions in the similarities.

B images, P prototypes, C classes, K prototypes of one class, D channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from protoexplain.errors import UserError
from protoexplain.models.contract import Ownership
from protoexplain.models.precision import in_float32

ZERO_LENGTH = 1e-12
"""Vectors shorter than this have no direction: their cosines are 0 and get no gradient."""


def best_among(similarity: Tensor, mask: Tensor, floor: float | None = None) -> Tensor:
    """Largest similarity [B] among the masked prototypes of each image.

    Args:
        similarity: [B,P], higher is closer.
        mask: [B,P], candidates.
        floor: The published code masks by multiplication, so that a candidate below this value (0 for
            similarities, -D*h*w for negative squared distances) loses against the zeros and gets no gradient.
            None takes the candidates alone.
    """
    best = similarity.masked_fill(~mask, -torch.inf).amax(1)
    return best if floor is None else best.clamp_min(floor)


def wrong_class_l1(weight: Tensor, ownership: Ownership) -> Tensor:
    """Sum of |W| [C,P] over the entries that join a prototype to a foreign class."""
    return weight.abs().masked_fill(ownership.owned.T, 0).sum()


@in_float32
def orthogonality(prototypes: Tensor, classes: int, diagonal: bool = True) -> Tensor:
    """Sum over classes of the entry-wise L1 norm of B B^T - I (ST-ProtoPNet), prototypes [C*K,D] class-major.

    Args:
        prototypes: [C*K,D].
        classes: C.
        diagonal: The published formula counts it.  For unit prototypes it is zero up to rounding, and its gradient
            is the sign of that rounding; False leaves the noise out.
    """
    bases = prototypes.unflatten(0, (classes, -1))
    gram = bases @ bases.transpose(1, 2)
    eye = torch.eye(gram.shape[1], device=gram.device, dtype=gram.dtype)
    return (gram - eye if diagonal else gram * (1 - eye)).abs().sum()


@in_float32
def class_pair_products(prototypes: Tensor, classes: int) -> Tensor:
    """Inner products of all prototypes by class pair: [C,C,K*K] from [C*K,D], by one matrix product."""
    per_class = len(prototypes) // classes
    gram = (prototypes @ prototypes.T).view(classes, per_class, classes, per_class)
    return gram.permute(0, 2, 1, 3).reshape(classes, classes, -1)


def _mean_over_pairs(values: Tensor) -> Tensor:
    classes = len(values)
    return (values.sum() - values.diagonal().sum()) / (classes * (classes - 1))


def closeness(prototypes: Tensor, classes: int) -> Tensor:
    """Support prototypes: minus the least inner product of each class pair, averaged over ordered pairs."""
    return -_mean_over_pairs(class_pair_products(prototypes, classes).min(2).values)


def discrimination(prototypes: Tensor, classes: int) -> Tensor:
    """Trivial prototypes: the greatest inner product of each class pair, averaged over ordered pairs."""
    return _mean_over_pairs(class_pair_products(prototypes, classes).max(2).values)


@in_float32
def subspace_distance(prototypes: Tensor, classes: int) -> Tensor:
    """Sum over class pairs of ||P - P'||_F / sqrt 2 with P = B^T B, from prototypes [C*K,D] class-major (TesNet).

    For orthonormal rows B [K,D] these are the chordal distances of the spans, at most sqrt K.  The D x D products are
    never formed: ||P - P'||^2 = ||B B^T||^2 + ||B' B'^T||^2 - 2 ||B B'^T||^2.  Equal spans get no gradient.
    """
    squares = class_pair_products(prototypes, classes).square().sum(2)
    norms = squares.diagonal()
    one, other = torch.triu_indices(classes, classes, 1, device=squares.device)
    distances = norms[one] + norms[other] - 2 * squares[one, other]
    return (distances / 2).clamp_min(torch.finfo(distances.dtype).eps).sqrt().sum()


def margin_loss(scores: Tensor, labels: Tensor, margin: float) -> Tensor:
    """max(0, best other score - own score + margin) per image [B] (CBC), scores [B,C], higher is better."""
    own = scores.gather(1, labels[:, None])[:, 0]
    other = scores.scatter(1, labels[:, None], -torch.inf).amax(1)
    return (other - own + margin).clamp_min(0)


def best_per_class(scores: Tensor, template_class: Tensor, classes: int) -> Tensor:
    """The best of several templates (or reasoning concepts) of each class, [B,C] from [B,T].

    Higher is better: distances enter as their negative.  Classes without a template get -inf.
    """
    columns = [scores[:, template_class == c] for c in range(classes)]
    return torch.stack([c.amax(1) if c.shape[1] else c.new_full((len(c),), -torch.inf) for c in columns], 1)


def glvq_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """(d+ - d-) / (d+ + d-) per image [B] (generalized learning vector quantization), range [-1, 1].

    Args:
        scores: [B,C], minus the distance to the closest template of each class.
        labels: [B].
    """
    own = -scores.gather(1, labels[:, None])[:, 0]
    other = -scores.scatter(1, labels[:, None], -torch.inf).amax(1)
    return (own - other) / (own + other + 1e-8)


def alignment(maps: Tensor) -> Tensor:
    """-log of the agreement of two views at the same cell (PIP-Net), maps [2B,P,H,W]: first all of view one.

    Each direction detaches its target, and the two are averaged.
    """
    one, two = maps.chunk(2)

    def towards(z: Tensor, target: Tensor) -> Tensor:
        return -torch.log((z * target.detach()).sum(1) + 1e-12).mean()

    return (towards(one, two) + towards(two, one)) / 2


@in_float32
def shallow_deep_alignment(deep: Tensor, shallow: Tensor, cells: Tensor, tolerance: float) -> Tensor:
    """Mean of ReLU(|S_deep - S_shallow| - tolerance) over the rows of the given cells (SDFA, Huang et al. 2023).

    S holds the cosine similarities of all pairs of cells.  The shallow vector of a cell is the whole block of the
    shallow map above it.  Gradients reach the deep map alone.

    Args:
        deep: [B,D,H,W].
        shallow: [B,E,q*H,r*W].
        cells: int64 [B,K] of the deep map.
        tolerance: Differences up to this are free.

    Raises:
        UserError: The shallow map cannot be cut into H x W equal blocks.
    """
    (rows, columns), (height, width) = shallow.shape[2:], deep.shape[2:]
    if rows % height or columns % width:
        raise UserError(
            f"a shallow map of {rows} x {columns} cells cannot be cut into {height} x {width} equal blocks",
            "data.image_size",
            "choose a multiple of the backbone's stride",
        )
    block = (rows // height, columns // width)
    blocks = F.unfold(shallow.detach(), block, stride=block)
    gap = cosine_rows(deep.flatten(2), cells) - cosine_rows(blocks, cells)
    return F.relu(gap.abs() - tolerance).mean()


def cosine_rows(vectors: Tensor, cells: Tensor) -> Tensor:
    """Cosine similarity of the vectors [B,D,L] at some cells [B,K] to those at all cells: [B,K,L]."""
    lengths = vectors.norm(dim=1, keepdim=True)
    unit = vectors / lengths.masked_fill(lengths < ZERO_LENGTH, torch.inf)
    chosen = unit.gather(2, cells[:, None].expand(-1, unit.shape[1], -1))
    return chosen.transpose(1, 2) @ unit


def every_prototype_fires(activations: Tensor) -> Tensor:
    """-log tanh of each prototype's summed activation over the batch (PIP-Net), averaged over both views [2B,P]."""
    views = activations.chunk(2)
    return torch.stack([-torch.log(torch.tanh(view.sum(0)) + 1e-8).mean() for view in views]).mean()


def reconstruction_error(decoded: Tensor, pictures: Tensor) -> Tensor:
    """Squared error summed over the pixels [B,C,S,S], averaged over pictures (PrototypeDL)."""
    return (decoded - pictures).square().flatten(1).sum(1).mean()


def every_prototype_near(similarity: Tensor) -> Tensor:
    """R1 of PrototypeDL: distance of each prototype to the nearest picture of the batch, averaged; minus [B,P]."""
    return -similarity.amax(0).mean()


def every_picture_near(similarity: Tensor) -> Tensor:
    """R2 of PrototypeDL: distance of each picture to the nearest prototype, averaged; minus [B,P]."""
    return -similarity.amax(1).mean()


def log_normalised_nll(scores: Tensor, labels: Tensor, exponent: float = 2.0) -> Tensor:
    """Negative log likelihood of log_softmax(log(1 + o^m)) (PIP-Net), scores o >= 0 [B,C]."""
    return F.nll_loss(F.log_softmax(torch.log1p(scores.pow(exponent)), dim=1), labels)
