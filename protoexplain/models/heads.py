"""Heads turn prototype activations [B,P] into class scores [B,C], and say exactly how.

The contract of every head: for any chosen classes, presence + absence evidence summed over prototypes, plus the
bias, equals the class score.  Linear heads count evidence from the usual activations, those of an average training
image, where these are known: every image activates every prototype somewhat, and what all images get says nothing
about this one.  Those whose weights cannot be negative do not: to them nothing found is no evidence.  Class scores are
computed in float32 under autocast, too.  Evidence is computed where and in the precision that the activations come in.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from protoexplain.models.contract import EvidenceKind, Ownership
from protoexplain.models.precision import exact, in_float32

_USUAL_SHARE = 0.1
"""Of a batch in the running mean of activations."""


@dataclass(frozen=True)
class Evidence:
    """Evidence of each prototype for k chosen classes.

    Args:
        presence: [B,P,k] what a found prototype adds; negative where it speaks against the class.
        absence: [B,P,k] what a missing prototype adds (zero for all heads but those of reasoning and trees).
        bias: [k] what no prototype is responsible for.
    """

    presence: Tensor
    absence: Tensor
    bias: Tensor

    def total(self) -> Tensor:
        """The class scores [B,k] that the parts add up to."""
        return (self.presence + self.absence).sum(1) + self.bias

    def __sub__(self, other: Evidence) -> Evidence:
        return Evidence(self.presence - other.presence, self.absence - other.absence, self.bias - other.bias)


class Head(nn.Module):
    """Base of all heads."""

    full_evidence_kind = EvidenceKind.PRODUCT
    """How evidence is counted where usual activations are known."""
    affine = True
    """Whether class scores are affine in the activations: what one prototype does to them depends on no other."""

    @property
    def evidence_kind(self) -> EvidenceKind:
        """How evidence is counted now."""
        return self.full_evidence_kind

    def forward(self, activations: Tensor) -> Tensor:
        """[B,P] -> [B,C]."""
        raise NotImplementedError

    def evidence(self, activations: Tensor, classes: Tensor) -> Evidence:
        """Evidence for the chosen classes [k]."""
        raise NotImplementedError

    def average_evidence(self, activations: Tensor) -> Evidence | None:
        """Evidence for the average class, k = 1, that evidence is given relative to; None where it is absolute."""
        return None

    def set_baseline_activations(self, activations: Tensor | None) -> None:
        """Let evidence count from these activations [P], or from zero; other heads than linear ones do neither."""

    def disagreement(self, activations: Tensor, classes: Tensor) -> Evidence | None:
        """What the classes [k] lose, which with the evidence adds up to one; None for heads without such a notion."""
        return None

    def class_weights(self) -> Tensor:
        """[C,P]: change of a class score per unit of activation."""
        raise NotImplementedError

    def presence_weights(self) -> Tensor:
        """[C,P]: what one unit of activation adds to a class score by being found, whatever evidence counts from."""
        return self.class_weights()

    def baseline_activations(self) -> Tensor:
        """[P]: activations from which evidence by presence counts: the usual ones where they were set, or zero.

        At these a prototype counts as not found.
        """
        weights = self.class_weights().detach()
        return weights.new_zeros(weights.shape[1])

    def set_ownership(self, ownership: Ownership) -> None:
        """Let the prototypes belong to these classes, for heads to which that matters."""

    def select(self, prototypes: Tensor) -> None:
        """Drop all prototypes but the selected ones (indices)."""
        raise NotImplementedError

    def merge(self, into: Tensor) -> None:
        """Add the weights of prototypes that are about to be dropped to those that take their place.

        Args:
            into: int64 [P] where the weights are, the prototype that each goes into; itself where it stays.
        """
        raise NotImplementedError


class LinearHead(Head):
    """score = W a, without bias.

    With usual activations u, evidence is W_cp (a_p - u_p), and sum_p W_cp u_p is the bias.

    Args:
        ownership: Of the P prototypes by the C classes; sets the initial weights.
        own: Initial weight of a prototype for its own class.
        other: Initial weight for all other classes (ProtoPNet and ST-ProtoPNet: -0.5).
    """

    usual: Tensor | None
    full_evidence_kind = EvidenceKind.SHAPLEY

    def __init__(self, ownership: Ownership, own: float = 1.0, other: float = -0.5) -> None:
        super().__init__()
        identity = ownership.owned.T.float()
        self.weight = nn.Parameter(identity * own + (1 - identity) * other)
        self.register_buffer("usual", None, persistent=False)

    @property
    def evidence_kind(self) -> EvidenceKind:
        return EvidenceKind.PRODUCT if self.usual is None else self.full_evidence_kind

    def set_baseline_activations(self, activations: Tensor | None) -> None:
        if self.full_evidence_kind.relative:
            self.usual = None if activations is None else activations.to(self.weight.detach())

    def class_weights(self) -> Tensor:
        return self.weight

    @in_float32
    def forward(self, activations: Tensor) -> Tensor:
        return F.linear(activations, self.class_weights())

    def evidence(self, activations: Tensor, classes: Tensor) -> Evidence:
        return self._counted(activations, self.class_weights()[classes])

    def average_evidence(self, activations: Tensor) -> Evidence | None:
        if self.usual is None:
            return None
        return self._counted(activations, self.class_weights().to(activations).mean(0, keepdim=True))

    def _counted(self, activations: Tensor, weights: Tensor) -> Evidence:
        """Evidence under weights [k,P]."""
        weights, baseline = weights.to(activations), self.baseline_activations().to(activations)
        presence = (activations - baseline)[:, :, None] * weights.T
        return Evidence(presence, torch.zeros_like(presence), weights @ baseline)

    def baseline_activations(self) -> Tensor:
        return super().baseline_activations() if self.usual is None else self.usual

    def select(self, prototypes: Tensor) -> None:
        self.weight = nn.Parameter(self.weight.detach()[..., prototypes].clone())
        if self.usual is not None:
            self.usual = self.usual[prototypes].clone()

    def merge(self, into: Tensor) -> None:
        self.weight.data = added(self.weight.data, into)


class SharedHead(LinearHead):
    """A linear head on prototypes that belong to no class; weights start at N(1, 0.1)."""

    def __init__(self, prototypes: int, classes: int) -> None:
        super().__init__(Ownership.of_all(prototypes, classes))
        nn.init.normal_(self.weight, 1.0, 0.1)


class NonNegativeHead(SharedHead):
    """A shared head whose weights subclasses or training keep from being negative; nothing found is no evidence at all.

    What is found counts as a whole, since its score is zero, and the model abstains, exactly where nothing was found.
    """

    full_evidence_kind = EvidenceKind.PRODUCT


class RectifiedHead(NonNegativeHead):
    """score = max(W, 0) a: what is found speaks for a class or not at all (PIP-Net)."""

    def class_weights(self) -> Tensor:
        return self.weight.relu()

    def merge(self, into: Tensor) -> None:
        self.weight.data.relu_()
        super().merge(into)


class SoftmaxHead(NonNegativeHead):
    """score = softmax(W) a: a radial basis function network whose weights are probabilities (RBF-net)."""

    def class_weights(self) -> Tensor:
        return self.weight.softmax(1)

    def merge(self, into: Tensor) -> None:
        self.weight.data = logarithm(added(self.class_weights().detach(), into))


class DistanceHead(LinearHead):
    """score = W a on negative squared distances a, with weights of any sign for all classes (PrototypeDL).

    Published as score = V D on the distances D themselves, where a negative weight supports a class; here W = -V, so
    that a positive weight supports it, as everywhere.  A distance of zero is a perfect match, and even the nearest
    prototype would only take from its class.  Usual activations are therefore among its weights and known from the
    first batch on.

    Args:
        prototypes: Number P.
        classes: Number C.
    """

    usual: Tensor | None

    def __init__(self, prototypes: int, classes: int) -> None:
        super().__init__(Ownership.of_all(prototypes, classes))
        nn.init.uniform_(self.weight, -1, 0)
        self.register_buffer("usual", torch.zeros(prototypes))

    def forward(self, activations: Tensor) -> Tensor:
        """[B,P] -> [B,C]; the usual activations follow those of the batches that are trained on.

        Summed in float64 on the CPU, because large numbers of both signs cancel.
        """
        if self.training and torch.is_grad_enabled() and self.usual is not None:
            self.usual.lerp_(activations.detach().mean(0).to(self.usual), _USUAL_SHARE)
        return F.linear(exact(activations), exact(self.class_weights())).to(activations)


class AggregationHead(LinearHead):
    """score_c = sum_k w_k a_k over the prototypes of class c alone, w = K softmax(v) (score aggregation, SA).

    Huang et al. 2023.  K is the number of prototypes that the class had at first: the weights of those that are kept
    still add up to it, and the scores of classes with few and with many prototypes stay comparable.

    Args:
        ownership: Of the P prototypes by the C classes.
        temperature: Class scores are divided by it (Zhu et al. 2025: 0.2).
    """

    own: Tensor
    totals: Tensor

    def __init__(self, ownership: Ownership, temperature: float = 1.0) -> None:
        super().__init__(ownership)
        self.temperature = temperature
        self.weight = nn.Parameter(torch.ones(len(ownership.owned)))
        self.register_buffer("own", ownership.owned.T.clone(), persistent=False)
        self.register_buffer("totals", self.own.sum(1, keepdim=True), persistent=False)

    def class_weights(self) -> Tensor:
        lowest = torch.finfo(self.weight.dtype).min
        shares = self.weight.expand_as(self.own).masked_fill(~self.own, lowest).softmax(1)
        return self.totals / self.temperature * shares.masked_fill(~self.own, 0)

    def set_ownership(self, ownership: Ownership) -> None:
        self.own = ownership.owned.T.to(self.own.device)

    def select(self, prototypes: Tensor) -> None:
        super().select(prototypes)
        self.own = self.own[:, prototypes]

    def merge(self, into: Tensor) -> None:
        """A weight is one for all classes: that of a prototype of several classes is the mean over them."""
        classes = (added(self.own.float(), into) > 0).sum(0)
        total = added(self.weight.data.exp()[None], into)[0]
        self.weight.data = logarithm(total / classes)


def added(weights: Tensor, into: Tensor) -> Tensor:
    """Weights [k,P] of which those of each prototype are added to the one that it goes into; zero remains."""
    return torch.zeros_like(weights).index_add_(1, into, weights)


def logarithm(weights: Tensor) -> Tensor:
    """Finite where weights are zero."""
    return weights.clamp_min(torch.finfo(weights.dtype).tiny).log()
