"""Slots: places of a class, each of which chooses one prototype of a pool that all classes share (ProtoPool).

Rymarczyk et al. 2022, "Interpretable Image Classification with Differentiable Prototypes Assignment".  While slots are
trained each is a distribution over the pool, which becomes a choice as the training goes on; at inference, and as soon
as they are not trained any more, each slot is the prototype with its largest logit.
B images, P prototypes, C classes, S slots of each class.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from protoexplain.models.contract import Ownership
from protoexplain.models.heads import LinearHead
from protoexplain.models.precision import in_float32

TAU = 0.5
"""Temperature of the Gumbel softmax."""
FULL_SCALE = 1000.0
"""Factor on the logits at the end of the annealing; the noise stays as it is."""


def gumbel_noise(like: Tensor) -> Tensor:
    """-ln(-ln u) with u uniform in (0, 1), of the shape of a tensor."""
    return -torch.empty_like(like).exponential_().log()


def log_assignment(slot_logits: Tensor, scale: float, noise: Tensor | None = None) -> Tensor:
    """Logarithm of each slot's distribution over the pool, [C,P,S] from logits of that shape.

    With scale 0 the softmax of the logits alone; else that of (scale x logits + noise) / 0.5.
    """
    if scale == 0:
        return slot_logits.log_softmax(1)
    scaled = scale * slot_logits if noise is None else scale * slot_logits + noise
    return (scaled / TAU).log_softmax(1)


def annealed_scale(done: float) -> float:
    """Factor on the logits of slots when a share of the annealing is done: 1000 sqrt(done), at most 1000."""
    return FULL_SCALE * min(1.0, done) ** 0.5


@in_float32
def orthogonality(slot_logits: Tensor) -> Tensor:
    """Mean over all slots of the cosines of their logits [C,P,S] with those of the other slots of their class.

    Published on the logits, not on the distributions; each slot's cosine with itself, which is one, is taken off.
    """
    unit = F.normalize(slot_logits, dim=1)
    return (unit.transpose(1, 2) @ unit).sum() / (len(slot_logits) * slot_logits.shape[2]) - 1


def chosen_most(log_share: Tensor, labels: Tensor) -> Tensor:
    """bool [B,P]: the S prototypes that the slots of each image's class share most, from `log_assignment`.

    Summed over the slots as logarithms, where shares that are rounded to nothing still differ: two slots with the same
    prototype leave a place, which goes to the next in line.
    """
    slots = min(log_share.shape[1:])
    first = log_share.detach().logsumexp(2).topk(slots, 1).indices
    return torch.zeros_like(log_share[..., 0], dtype=torch.bool).scatter_(1, first, True)[labels]


class SlotHead(LinearHead):
    """score_k = sum over all slots (c, n) of W[k, cS + n] times the activation of the slot's prototype.

    Weights start with one for the slots of the class and zero for the others.  By prototype the weights are
    V[k, p] = sum of W[k, cS + n] over the slots (c, n) that chose p: a prototype that two slots chose counts twice.

    Args:
        prototypes: In the pool, P.
        classes: C.
        slots: Of each class, S.
    """

    filled: Tensor
    """bool [C,S]: slots whose prototype was not dropped."""

    def __init__(self, prototypes: int, classes: int, slots: int) -> None:
        of_slots = Ownership.class_major(slots, classes)
        super().__init__(of_slots, other=0.0)
        self.slot_logits = nn.Parameter(nn.init.xavier_normal_(torch.empty(classes, prototypes, slots)))
        self.register_buffer("filled", torch.ones(classes, slots, dtype=torch.bool))
        self.register_buffer("of_class", of_slots.owned.T, persistent=False)
        self.scale = 0.0

    of_class: Tensor
    """bool [C,CS]: slots of each class."""

    def chosen(self) -> Tensor:
        """int64 [C,S]: the prototype of each slot."""
        return self.slot_logits.detach().argmax(1)

    def chosen_by(self) -> Tensor:
        """bool [P,C]: the classes whose slots chose each prototype."""
        by = torch.zeros_like(self.slot_logits[..., 0], dtype=torch.int)
        return by.scatter_add_(1, self.chosen(), self.filled.int()).T > 0

    def ownership(self) -> Ownership:
        """Prototypes belong to the classes that chose them, and those that none chose to that which is nearest to
        doing so."""
        owned = self.chosen_by()
        likely = self.slot_logits.detach().amax(2).argmax(0)
        return Ownership(owned | (F.one_hot(likely, owned.shape[1]).bool() & ~owned.any(1, keepdim=True)))

    def class_weights(self) -> Tensor:
        chosen, filled = self.chosen().flatten(), self.filled.flatten()
        found = self.weight.new_zeros(len(self.weight), self.slot_logits.shape[1])
        return found.index_add(1, chosen, self.weight * filled)

    @in_float32
    def mixed(self, log_share: Tensor, best: Tensor, mean: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
        """Class scores [B,C] from slots that share prototypes: similarities are mixed, then activated.

        Args:
            log_share: [C,P,S], of `log_assignment`.
            best: [B,P] similarity of each prototype's best patch.
            mean: [B,P] over the map.
            activation: Of similarities.
        """
        share = log_share.exp()
        near, far = (torch.einsum("cpn,bp->bcn", share, each) for each in (best, mean))
        return F.linear((activation(near) - activation(far)).flatten(1), self.weight * self.filled.flatten())

    def foreign_weights(self) -> Tensor:
        """Sum of |W| over the slots of other classes."""
        return self.weight.abs().masked_fill(self.of_class, 0).sum()

    def select(self, prototypes: Tensor) -> None:
        """Slots that chose a dropped prototype stay empty."""
        self.filled = self.filled & torch.isin(self.chosen(), prototypes.to(self.filled.device))
        self.slot_logits = nn.Parameter(self.slot_logits.detach()[:, prototypes].clone())
        if self.usual is not None:
            self.usual = self.usual[prototypes].clone()

    def merge(self, into: Tensor) -> None:
        """A slot chooses the prototype that its own one goes into; what is not merged into is chosen by none."""
        logits = self.slot_logits.data
        places = into[None, :, None].expand_as(logits)
        self.slot_logits.data = torch.full_like(logits, -torch.inf).scatter_reduce_(1, places, logits, "amax")
