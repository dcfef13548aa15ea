"""What varies between families, as values that a family provides and everybody else asks for.

Which classes own a prototype (`Ownership`), how it is tied to images (`PrototypeSource`), when it counts as found
(`Detection`), what class scores are measured in (`ScoreUnit`), how evidence counts (`EvidenceKind`), which way a
picture takes through a tree (`Route`), and where in a picture a prototype lies (`best_cells`).
B images, P prototypes, C classes, H x W cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Ownership:
    """Which classes own which prototypes.

    Args:
        owned: bool [P,C]; a prototype belongs to one class, to several, or to all.
    """

    owned: Tensor

    @classmethod
    def of_labels(cls, labels: Tensor, classes: int) -> Ownership:
        """From the one class of each prototype, int64 [P]; -1 where all classes share it."""
        column = labels[:, None]
        return cls((column == torch.arange(classes, device=labels.device)) | (column < 0))

    @classmethod
    def of_owners(cls, owners: Sequence[tuple[int, ...] | None], classes: int) -> Ownership:
        """From the classes that own each prototype; None where all share it."""
        owned = torch.zeros(len(owners), classes, dtype=torch.bool)
        for prototype, some in enumerate(owners):
            owned[prototype, slice(None) if some is None else list(some)] = True
        return cls(owned)

    @classmethod
    def class_major(cls, per_class: int, classes: int) -> Ownership:
        """Equally many prototypes for each class: prototype j belongs to class j // per_class."""
        return cls.of_labels(torch.arange(classes).repeat_interleave(per_class), classes)

    @classmethod
    def of_all(cls, prototypes: int, classes: int) -> Ownership:
        """All classes share all prototypes."""
        return cls(torch.ones(prototypes, classes, dtype=torch.bool))

    @property
    def shared(self) -> Tensor:
        """bool [P]: prototypes that more than one class owns."""
        return self.owned.sum(1) > 1

    @property
    def shared_by_all(self) -> Tensor:
        """bool [P]: prototypes that all classes own, where there are several."""
        return self.owned.all(1) & self.shared

    @property
    def labels(self) -> Tensor:
        """int64 [P]: the one class of each prototype, -1 where it is shared."""
        return self.owned.int().argmax(1).masked_fill(self.shared, -1)

    @property
    def any_shared_by_all(self) -> bool:
        return bool(self.shared_by_all.any())

    @property
    def all_shared(self) -> bool:
        """Whether all classes own all prototypes."""
        return bool(self.shared_by_all.all())

    def owners(self, prototype: int) -> tuple[int, ...] | None:
        """The classes that own a prototype, ascending; None where all of several classes share it."""
        found = tuple(self.owned[prototype].nonzero()[:, 0].tolist())
        return None if 1 < len(found) == self.owned.shape[1] else found

    def of_class(self, label: int) -> Tensor:
        """bool [P]: the prototypes of a class, the shared ones among them."""
        return self.owned[:, label]

    def of_images(self, labels: Tensor) -> Tensor:
        """bool [B,P]: whether the class of each image owns each prototype."""
        return self.owned.T[labels]

    def split(self, sizes: list[int]) -> list[Ownership]:
        """Of each branch, by its number of prototypes."""
        return [Ownership(part) for part in self.owned.split(sizes)]

    def select(self, prototypes: Tensor) -> Ownership:
        """Of the selected prototypes (indices)."""
        return Ownership(self.owned[prototypes])

    def merged(self, into: Tensor) -> Ownership:
        """Each prototype also belongs to the classes of those that go into it.

        Args:
            into: int64 [P], the prototype that each goes into; itself where it stays.
        """
        return Ownership(torch.zeros_like(self.owned, dtype=torch.int).index_add_(0, into, self.owned.int()) > 0)

    def repeat(self, branches: int) -> Ownership:
        """The same prototypes once more in each further branch."""
        return Ownership(self.owned.repeat(branches, 1))


class PrototypeSource(StrEnum):
    """How prototypes are tied to images."""

    PROJECTED = "projected"
    """Projection ("push") writes the nearest training patch into the prototype."""
    ILLUSTRATED = "illustrated"
    """The prototype is a direction of the network's own; its nearest training patches only illustrate it."""
    DECODED = "decoded"
    """As illustrated; the model also draws the prototype itself, as a whole picture."""

    @property
    def projected(self) -> bool:
        return self is PrototypeSource.PROJECTED

    @property
    def decoded(self) -> bool:
        return self is PrototypeSource.DECODED


@dataclass(frozen=True)
class Detection:
    """When a prototype counts as found in an image.

    Args:
        level: It is found where its best similarity is higher; None where similarities have no such level, so that
            every prototype lies somewhere in every image.
    """

    level: float | None = None

    @property
    def can_fail(self) -> bool:
        """Whether a prototype may be in no image at all."""
        return self.level is not None

    def found(self, similarity: Tensor) -> Tensor:
        """Best similarities of any shape -> bool of that shape."""
        return similarity > (-torch.inf if self.level is None else self.level)


EVERYWHERE = Detection()


@dataclass(frozen=True)
class ScoreUnit:
    """What class scores are measured in.

    Args:
        name: As explanations name it.
        probabilities: Class scores [B,C] -> probabilities [B,C] in [0, 1].
    """

    name: Literal["logit", "probability"]
    probabilities: Callable[[Tensor], Tensor]


LOGITS = ScoreUnit("logit", lambda scores: scores.softmax(1))
PROBABILITIES = ScoreUnit("probability", lambda scores: scores.clamp(0, 1))
"""Scores that are probabilities, one for each class and up to rounding (CBC)."""
LOG_NORMALISED = ScoreUnit("logit", lambda scores: scores.square().log1p().softmax(1))
"""Scores o >= 0 that the class loss reads as log(1 + o^2) (PIP-Net)."""


class EvidenceKind(StrEnum):
    """How evidence is counted.

    In all kinds but the last a prototype's evidence is its activation times weights that are the same for all images
    (`Head.class_weights`).  A head whose weights depend on the image says so by a kind of its own here, computes its
    evidence from the activations in `Head.evidence`, and gives as class weights the mean over the training images.
    """

    SHAPLEY = "shapley"
    """(activation - usual activation) x (weight - mean weight over the classes), which adds up to the class score
    relative to the average class; the Shapley value of a linear model."""
    PRODUCT = "product"
    """activation x weight, as published."""
    REASONING = "reasoning"
    """By presence and absence, of heads whose scores are probabilities."""
    ROUTE = "route"
    """By how much each decision of a tree changes the expected probability, found and missing, of either sign."""

    @property
    def relative(self) -> bool:
        """Whether scores are relative to the average class, and activations to the usual ones."""
        return self is EvidenceKind.SHAPLEY


@dataclass(frozen=True)
class Decision:
    """One step of a route.

    Args:
        prototype: Number of the prototype that was looked for.
        found: Whether it counts as found.
        similarity: Its activation, the probability of being found.
    """

    prototype: int
    found: bool
    similarity: float


@dataclass(frozen=True)
class Route:
    """The way of one picture through a tree, where each decision takes the more probable side.

    Args:
        decisions: From the root on.
        label: Most probable class at its end.
        purity: Probability of that class at the end: how pure the leaf is, not how sure the way there.
        probability: Of all decisions together; the rest went other ways.
    """

    decisions: tuple[Decision, ...]
    label: int
    purity: float
    probability: float


def best_cells(maps: Tensor) -> list[tuple[int, int]]:
    """Row and column of the cell where each prototype lies, from its map [H,W]: [N,H,W] -> N cells.

    Each prototype has one window, at the first maximum of its map, and all that explanations and metrics say of its
    place comes from here.  A family whose prototypes have several windows (deformable parts) gives as map the summed
    similarity of the windows by the cell of their anchor, which keeps the maximum of the map equal to the activation.
    The other windows follow from the anchor; no family has any so far, and this function gives the anchor alone.
    """
    return [divmod(cell, maps.shape[-1]) for cell in maps.flatten(1).argmax(1).tolist()]
