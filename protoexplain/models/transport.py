"""Which prototype of its class a patch belongs to, by optimal transport, and how prototypes follow their patches.

Zhu et al. 2025, "Interpretable Image Classification via Non-parametric Part Prototype Learning", section on class-wise
clustering.  N patches, M prototypes, L labels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from protoexplain.models.precision import in_float32
from protoexplain.models.processes import over_processes

SHARPNESS, ITERATIONS = 0.05, 3
"""Of the transport plan: its entropy's weight, and how often its margins are adjusted (published values)."""


@in_float32
def transport_plan(similarity: Tensor, sharpness: float = SHARPNESS, iterations: int = ITERATIONS) -> Tensor:
    """Similarities [N,M] in [-1, 1] of the patches and prototypes of one class -> shares [N,M] in [0, 1].

    The shares of a patch add up to one.  Those of a prototype add up to about N / M, since it is to have as many
    patches as the others: exactly so only after many of the alternating adjustments (Sinkhorn and Knopp).
    """
    count, prototypes = similarity.shape
    plan = torch.exp(similarity / sharpness)
    plan = plan / plan.sum()
    for _ in range(iterations):
        plan = plan / (prototypes * plan.sum(0, keepdim=True))
        plan = plan / (count * plan.sum(1, keepdim=True))
    return plan * count


@torch.no_grad()
def assigned_prototypes(similarity: Tensor, labels: Tensor, owned: Tensor) -> Tensor:
    """The prototype of its own class that each patch belongs to, int64 [N]; -1 where its class has none.

    Each class is by itself.  A class with a single patch has no plan to speak of; the patch then belongs to the
    prototype that is most similar.

    Args:
        similarity: [N,M].
        labels: int64 [N].
        owned: bool [M,L].
    """
    found = torch.full_like(labels, -1)
    for label in labels.unique().tolist():
        rows, columns = (labels == label).nonzero()[:, 0], owned[:, label].nonzero()[:, 0]
        if len(columns):
            own = similarity[rows][:, columns]
            found[rows] = columns[(transport_plan(own) if len(rows) > 1 else own).argmax(1)]
    return found


@torch.no_grad()
def moved_prototypes(prototypes: Tensor, patches: Tensor, assigned: Tensor, momentum: float) -> Tensor:
    """Prototypes [M,D] as running means of the patches that belong to them; those without patches stay.

    With several processes, each of which gives its own patches, the means are of all of them.

    Args:
        prototypes: As they are.
        patches: [N,D] of length one.
        assigned: int64 [N], the prototype of each patch; -1 for none.
        momentum: Weight in [0, 1) of what they are.
    """
    sums, counts = _sums(prototypes, patches, assigned)
    moved = momentum * prototypes + (1 - momentum) * sums / counts.clamp_min(1)[:, None]
    return torch.where(counts[:, None] > 0, moved, prototypes)


@torch.no_grad()
def moved_by_sums(prototypes: Tensor, patches: Tensor, assigned: Tensor, momentum: float, present: Tensor) -> Tensor:
    """As `moved_prototypes`, but published: by the sums of patches in place of their means.

    Batches with many patches of a class then count for more; only cosines make no difference between lengths.

    Args:
        prototypes: As there.
        patches: As there.
        assigned: As there.
        momentum: As there.
        present: bool [M], prototypes of classes that have patches; those without patches of their own shrink.
    """
    sums, _ = _sums(prototypes, patches, assigned)
    return torch.where(present[:, None], momentum * prototypes + (1 - momentum) * sums, prototypes)


def _sums(prototypes: Tensor, patches: Tensor, assigned: Tensor) -> tuple[Tensor, Tensor]:
    """Sums [M,D] and numbers [M] of the patches of each prototype, in all processes of a training."""
    known = assigned >= 0
    places, own = assigned[known], patches[known].to(prototypes)
    sums = torch.zeros_like(prototypes).index_add_(0, places, own)
    return over_processes(sums), over_processes(places.bincount(minlength=len(prototypes))).to(prototypes)
