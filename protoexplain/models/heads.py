"""Heads turn prototype activations [B,P] into class scores [B,C], and say exactly how.

The contract of every head: for any chosen classes, presence + absence evidence summed over prototypes, plus the
bias, equals the class score.  Class scores are computed in float32 under autocast, too.  Evidence is computed where
and in the precision that the activations come in.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from protoexplain.models.precision import exact, in_float32

_USUAL_SHARE = 0.1
"""Of a batch in the running mean of activations."""


@dataclass(frozen=True)
class Evidence:
    """Evidence of each prototype for k chosen classes.

    Args:
        presence: [B,P,k] what a found prototype adds; negative where it speaks against the class.
        absence: [B,P,k] what a missing prototype adds (zero for all heads but reasoning).
        bias: [k] what no prototype is responsible for.
    """

    presence: Tensor
    absence: Tensor
    bias: Tensor

    def total(self) -> Tensor:
        """The class scores [B,k] that the parts add up to."""
        return (self.presence + self.absence).sum(1) + self.bias


class Head(nn.Module):
    """Base of all heads."""

    def forward(self, activations: Tensor) -> Tensor:
        """[B,P] -> [B,C]."""
        raise NotImplementedError

    def evidence(self, activations: Tensor, classes: Tensor) -> Evidence:
        """Evidence for the chosen classes [k]."""
        raise NotImplementedError

    def disagreement(self, activations: Tensor, classes: Tensor) -> Evidence | None:
        """What the classes [k] lose, which with the evidence adds up to one; None for heads without such a notion."""
        return None

    def class_weights(self) -> Tensor:
        """[C,P]: change of a class score per unit of activation."""
        raise NotImplementedError

    def missing(self) -> Tensor:
        """[P]: activations at which prototypes count as not found: zero where evidence is by presence and absence."""
        weights = self.class_weights().detach()
        return weights.new_zeros(weights.shape[1])

    def keep(self, prototypes: Tensor) -> None:
        """Forget all prototypes but the chosen ones (indices)."""
        raise NotImplementedError


class LinearHead(Head):
    """score = W a, without bias.

    Args:
        prototype_class: [P] class of each prototype; sets the initial weights.
        classes: Number of classes C.
        own: Initial weight of a prototype for its own class.
        other: Initial weight for all other classes (ProtoPNet and ST-ProtoPNet: -0.5).
    """

    def __init__(self, prototype_class: Tensor, classes: int, own: float = 1.0, other: float = -0.5) -> None:
        super().__init__()
        identity = F.one_hot(prototype_class, classes).T.float()
        self.weight = nn.Parameter(identity * own + (1 - identity) * other)

    def class_weights(self) -> Tensor:
        return self.weight

    @in_float32
    def forward(self, activations: Tensor) -> Tensor:
        return F.linear(activations, self.class_weights())

    def evidence(self, activations: Tensor, classes: Tensor) -> Evidence:
        presence = activations[:, :, None] * self.class_weights()[classes].T.to(activations)
        return Evidence(presence, torch.zeros_like(presence), activations.new_zeros(len(classes)))

    def keep(self, prototypes: Tensor) -> None:
        self.weight = nn.Parameter(self.weight.detach()[:, prototypes].clone())


class SharedHead(LinearHead):
    """A linear head on prototypes that belong to no class; weights start at N(1, 0.1)."""

    def __init__(self, prototypes: int, classes: int) -> None:
        super().__init__(torch.zeros(prototypes, dtype=torch.long), classes)
        nn.init.normal_(self.weight, 1.0, 0.1)


class RectifiedHead(SharedHead):
    """score = max(W, 0) a: what is found speaks for a class or not at all (PIP-Net)."""

    def class_weights(self) -> Tensor:
        return self.weight.relu()


class SoftmaxHead(SharedHead):
    """score = softmax(W) a: a radial basis function network whose weights are probabilities (RBF-net)."""

    def class_weights(self) -> Tensor:
        return self.weight.softmax(1)


class DistanceHead(LinearHead):
    """score = W a on negative squared distances a, with weights of any sign for all classes (PrototypeDL).

    Published as score = V D on the distances D themselves, where a negative weight supports a class; here W = -V, so
    that a positive weight supports it, as everywhere.  A distance of zero is a perfect match, and even the nearest
    prototype would only take from its class.  Evidence therefore counts from the usual activation u, that of an
    average training picture: sum_p W_cp (a_p - u_p) over the prototypes, and sum_p W_cp u_p as the bias.

    Args:
        prototypes: Number P.
        classes: Number C.
    """

    usual: Tensor

    def __init__(self, prototypes: int, classes: int) -> None:
        super().__init__(torch.zeros(prototypes, dtype=torch.long), classes)
        nn.init.uniform_(self.weight, -1, 0)
        self.register_buffer("usual", torch.zeros(prototypes))

    def forward(self, activations: Tensor) -> Tensor:
        """[B,P] -> [B,C]; the usual activations follow those of the batches that are trained on.

        Summed in float64 on the CPU, because large numbers of both signs cancel.
        """
        if self.training and torch.is_grad_enabled():
            self.usual.lerp_(activations.detach().mean(0).to(self.usual), _USUAL_SHARE)
        return F.linear(exact(activations), exact(self.class_weights())).to(activations)

    def evidence(self, activations: Tensor, classes: Tensor) -> Evidence:
        usual = self.missing().to(activations)
        counted = super().evidence(activations - usual, classes)
        return Evidence(counted.presence, counted.absence, usual @ self.class_weights()[classes].T.to(usual))

    def missing(self) -> Tensor:
        return self.usual

    def keep(self, prototypes: Tensor) -> None:
        super().keep(prototypes)
        self.usual = self.usual[prototypes].clone()


class AggregationHead(LinearHead):
    """score_c = sum_k w_k a_k over the prototypes of class c alone, w = K softmax(v) (score aggregation, SA).

    Huang et al. 2023.  K is the number of prototypes that the class had at first: the weights of those that are kept
    still add up to it, and the scores of classes with few and with many prototypes stay comparable.

    Args:
        prototype_class: [P] class of each prototype.
        classes: Number of classes C.
    """

    own: Tensor
    totals: Tensor

    def __init__(self, prototype_class: Tensor, classes: int) -> None:
        super().__init__(prototype_class, classes)
        self.weight = nn.Parameter(torch.ones(len(prototype_class)))
        self.register_buffer("own", F.one_hot(prototype_class, classes).T.bool(), persistent=False)
        self.register_buffer("totals", self.own.sum(1, keepdim=True), persistent=False)

    def class_weights(self) -> Tensor:
        lowest = torch.finfo(self.weight.dtype).min
        shares = self.weight.expand_as(self.own).masked_fill(~self.own, lowest).softmax(1)
        return self.totals * shares.masked_fill(~self.own, 0)

    def keep(self, prototypes: Tensor) -> None:
        self.weight = nn.Parameter(self.weight.detach()[prototypes].clone())
        self.own = self.own[:, prototypes]


class ReasoningHead(Head):
    """Classification by components, 2024 form: p_c = sum_k P_kc d_k + N_kc (1 - d_k).

    P (positive reasoning: found and wanted) and N (negative reasoning: missing and unwanted) share one softmax
    over all 2K entries of a class, so that p_c lies in [0, 1].  Activations are detection probabilities.

    Args:
        prototypes: Number of components K.
        classes: Number of classes C.
    """

    def __init__(self, prototypes: int, classes: int) -> None:
        super().__init__()
        self.joint_logits = nn.Parameter(0.6 - 0.2 * torch.randn(2 * prototypes, classes))

    def reasoning(self) -> tuple[Tensor, Tensor]:
        """Positive and negative reasoning P, N, each [K,C]; the sum over both is one for each class."""
        positive, negative = self.joint_logits.softmax(0).chunk(2)
        return positive, negative

    def _for_classes(self, classes: Tensor, activations: Tensor) -> tuple[Tensor, Tensor]:
        """P and N of some classes, each [K,k], where and as the activations are."""
        positive, negative = (side[:, classes].to(activations) for side in self.reasoning())
        return positive, negative

    def class_weights(self) -> Tensor:
        positive, negative = self.reasoning()
        return (positive - negative).T

    @in_float32
    def forward(self, activations: Tensor) -> Tensor:
        positive, negative = self.reasoning()
        return activations @ (positive - negative) + negative.sum(0)

    def evidence(self, activations: Tensor, classes: Tensor) -> Evidence:
        positive, negative = self._for_classes(classes, activations)
        found = activations[:, :, None]
        return Evidence(found * positive, (1 - found) * negative, activations.new_zeros(len(classes)))

    def disagreement(self, activations: Tensor, classes: Tensor) -> Evidence:
        """What was missed, which with the evidence adds up to one: found though unwanted, missing though wanted."""
        positive, negative = self._for_classes(classes, activations)
        found = activations[:, :, None]
        return Evidence(found * negative, (1 - found) * positive, activations.new_zeros(len(classes)))

    def keep(self, prototypes: Tensor) -> None:
        positive, negative = self.joint_logits.detach().chunk(2)
        self.joint_logits = nn.Parameter(torch.cat([positive[prototypes], negative[prototypes]]))
