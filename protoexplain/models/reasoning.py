"""Heads that reason over components: what is found and wanted, and what is missing and unwanted, speaks for a class.

Saralajew et al. 2019 and 2025 (CBC).  A class has one or more concepts, each with its own reasoning, and the score of
its best one.  The three forms differ in the parameters behind positive and negative reasoning alone.  B images,
K components, C classes, R = C * n concepts, those of each class one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from protoexplain.models.contract import EvidenceKind
from protoexplain.models.heads import Evidence, Head, added, logarithm
from protoexplain.models.precision import in_float32

if TYPE_CHECKING:
    from protoexplain.models.base import PrototypeModel

_NO_REASONING = 1e-7
"""Added to what the reasoning of a concept adds up to, as published in 2019."""


class ComponentHead(Head):
    """p_r = sum_k P_kr d_k + N_kr (1 - d_k) for each concept r; a class has the score of its best concept.

    d are detection probabilities, P is positive reasoning and N is negative reasoning.  They add up to one for each
    concept, so that scores lie in [0, 1].  Evidence is that of the best concept of each class.

    Args:
        concepts: Of each class, n.
    """

    full_evidence_kind = EvidenceKind.REASONING

    def __init__(self, concepts: int) -> None:
        super().__init__()
        self.concepts = concepts
        self.affine = concepts == 1

    def reasoning(self) -> tuple[Tensor, Tensor]:
        """Positive and negative reasoning P, N, each [K,R]; the sum over both is one for each concept."""
        raise NotImplementedError

    def indefinite(self) -> Tensor | None:
        """[K,R] in [0, 1]: how far a concept ignores a component; None for forms that know no such reasoning."""
        return None

    def constrain(self) -> None:
        """Restore the constraints on parameters after an optimizer step."""

    @in_float32
    def concept_scores(self, activations: Tensor) -> Tensor:
        """[...,K] -> [...,R]."""
        positive, negative = self.reasoning()
        return activations @ (positive - negative) + negative.sum(0)

    def forward(self, activations: Tensor) -> Tensor:
        return self._by_class(self.concept_scores(activations)).amax(-1)

    def _by_class(self, scores: Tensor) -> Tensor:
        """[...,R] -> [...,C,n]."""
        return scores.unflatten(-1, (-1, self.concepts))

    def class_weights(self) -> Tensor:
        """[C,K]: P - N, the mean over the concepts of a class."""
        positive, negative = self.reasoning()
        return self._by_class(positive - negative).mean(2).T

    def presence_weights(self) -> Tensor:
        return self._by_class(self.reasoning()[0]).mean(2).T

    def _of_best_concepts(self, activations: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """P and N of the best concept of some classes for each image, [B,K,k], where and as the activations are."""
        sides = self.reasoning()
        best = self._by_class(self.concept_scores(activations.to(sides[0]))).argmax(-1)
        first = self.concepts * torch.arange(best.shape[1], device=best.device)
        chosen = (first + best)[:, classes.to(best.device)]
        positive, negative = (side.T[chosen].transpose(1, 2).to(activations) for side in sides)
        return positive, negative

    def evidence(self, activations: Tensor, classes: Tensor) -> Evidence:
        positive, negative = self._of_best_concepts(activations, classes)
        found = activations[:, :, None]
        return Evidence(found * positive, (1 - found) * negative, activations.new_zeros(len(classes)))

    def disagreement(self, activations: Tensor, classes: Tensor) -> Evidence:
        """What was missed, which with the evidence adds up to one: found though unwanted, missing though wanted."""
        positive, negative = self._of_best_concepts(activations, classes)
        found = activations[:, :, None]
        return Evidence(found * negative, (1 - found) * positive, activations.new_zeros(len(classes)))


class ReasoningHead(ComponentHead):
    """The form of 2024: P and N of a concept share one softmax over all their 2K entries.

    Args:
        components: K.
        classes: C.
        concepts: Of each class.
    """

    def __init__(self, components: int, classes: int, concepts: int = 1) -> None:
        super().__init__(concepts)
        self.joint_logits = nn.Parameter(0.6 - 0.2 * torch.randn(2 * components, classes * concepts))

    def reasoning(self) -> tuple[Tensor, Tensor]:
        positive, negative = self.joint_logits.softmax(0).chunk(2)
        return positive, negative

    def select(self, prototypes: Tensor) -> None:
        positive, negative = self.joint_logits.detach().chunk(2)
        self.joint_logits = nn.Parameter(torch.cat([positive[prototypes], negative[prototypes]]))

    def merge(self, into: Tensor) -> None:
        self.joint_logits.data = logarithm(torch.cat(_joined(self.reasoning(), into)))


class IndefiniteReasoningHead(ComponentHead):
    """The form of 2019, in which a component may also be ignored.

    Each pair of component and concept has three probabilities that add up to one: positive r+ = q0, negative
    r- = (1 - q0) q1 and indefinite r0, the rest.  P and N are r+ and r-, divided by what both add up to over the
    components.  All that a concept does not ignore therefore counts as a whole, however little it is.

    Args:
        components: K.
        classes: C.
        concepts: Of each class.
    """

    def __init__(self, components: int, classes: int, concepts: int = 1) -> None:
        super().__init__(concepts)
        self.encoded = nn.Parameter(torch.rand(2, components, classes * concepts))

    def probabilities(self) -> tuple[Tensor, Tensor, Tensor]:
        """r+, r- and r0, each [K,R]."""
        wanted, other = self.encoded
        return wanted, (1 - wanted) * other, (1 - wanted) * (1 - other)

    def reasoning(self) -> tuple[Tensor, Tensor]:
        positive, negative, _ = self.probabilities()
        mass = (positive + negative).sum(0) + _NO_REASONING
        return positive / mass, negative / mass

    def indefinite(self) -> Tensor:
        return self.probabilities()[2]

    def constrain(self) -> None:
        """q stay probabilities."""
        self.encoded.data.clamp_(0, 1)

    def select(self, prototypes: Tensor) -> None:
        self.encoded = nn.Parameter(self.encoded.detach()[:, prototypes].clone())

    def merge(self, into: Tensor) -> None:
        """What is added is divided by the largest sum of a concept, since only proportions count."""
        positive, negative = _joined(self.probabilities()[:2], into)
        scale = (positive + negative).amax(0).clamp_min(1)
        wanted, unwanted = positive / scale, negative / scale
        self.encoded.data = torch.stack([wanted, (unwanted / (1 - wanted).clamp_min(_NO_REASONING)).clamp(0, 1)])


class PositiveReasoningHead(ComponentHead):
    """Positive reasoning alone: a radial basis function classifier whose weights are a softmax over the components.

    Args:
        components: K.
        classes: C.
        concepts: Of each class.
    """

    def __init__(self, components: int, classes: int, concepts: int = 1) -> None:
        super().__init__(concepts)
        self.logits = nn.Parameter(torch.rand(components, classes * concepts))

    def reasoning(self) -> tuple[Tensor, Tensor]:
        positive = self.logits.softmax(0)
        return positive, torch.zeros_like(positive)

    def select(self, prototypes: Tensor) -> None:
        self.logits = nn.Parameter(self.logits.detach()[prototypes].clone())

    def merge(self, into: Tensor) -> None:
        self.logits.data = logarithm(_joined(self.reasoning()[:1], into)[0])


@dataclass(frozen=True)
class Reasoning:
    """What the concepts of a model make of its components, on the CPU and outside the graph.

    Args:
        positive: [K,R] how much of a concept's score a component can give by being found.
        negative: [K,R] how much it can give by being missing.
        indefinite: [K,R] in [0, 1], how far it is ignored; None where the form knows no such reasoning.
        concept_class: int64 [R].
    """

    positive: Tensor
    negative: Tensor
    indefinite: Tensor | None
    concept_class: Tensor


@torch.no_grad()
def reasoning_of(model: PrototypeModel) -> Reasoning | None:
    """None for models that do not reason by presence and absence."""
    (_, branch), *others = model.named_branches()
    head = branch.head
    if others or not isinstance(head, ComponentHead):
        return None
    positive, negative = (side.cpu() for side in head.reasoning())
    indefinite = head.indefinite()
    classes = torch.arange(positive.shape[1]) // head.concepts
    return Reasoning(positive, negative, None if indefinite is None else indefinite.cpu(), classes)


def _joined(sides: tuple[Tensor, ...], into: Tensor) -> list[Tensor]:
    """Reasoning [K,R] of each side, where that of a component is added to the one that it goes into."""
    return [added(side.detach().T, into).T for side in sides]
