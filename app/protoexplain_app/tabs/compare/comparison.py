"""A comparison as plain data: two sides, and what sets them apart."""

from __future__ import annotations

from dataclasses import dataclass

from protoexplain.explanations.forward_pass import Prediction
from protoexplain.models.contract import EvidenceKind
from protoexplain.view.pictures import Picture


@dataclass(frozen=True)
class MatchView:
    """A prototype in one of the two pictures or models.

    Args:
        prototype: Its number.
        owner: Its class, None where all classes share it.
        patch: Its training patch, None where it has none.
        place: Where the picture looks most like it.
        heat: Its heat map, to be laid over `place`.
        similarity: There.
        evidence: For the question; in two models, its share of all evidence for the class, 0 to 1.
    """

    prototype: int
    owner: str | None
    patch: Picture | None
    place: Picture
    heat: Picture
    similarity: float
    evidence: float


@dataclass(frozen=True)
class Row:
    """What belongs together on the left and on the right.

    Args:
        number: In the list; the pictures bear it too.
        left: None where there is nothing to match the right.
        right: None where there is nothing to match the left.
        difference: Evidence on the left minus evidence on the right.
        share: Length of the bar, 0 to 1 of the longest.
    """

    number: int
    left: MatchView | None
    right: MatchView | None
    difference: float
    share: float


@dataclass(frozen=True)
class Side:
    """One of the two: a picture and what a model makes of it.

    Args:
        title: Of the model or the picture.
        picture: Whole, with the region that the model saw and the boxes of the rows.
        predictions: The best classes.
        truth: Class by the data set, None where it is unknown.
        lead: Of the class that the left decided for: over the class that the right decided for, or its score.
    """

    title: str
    picture: Picture
    predictions: tuple[Prediction, ...]
    truth: str | None
    lead: float

    @property
    def best(self) -> Prediction:
        return self.predictions[0]


@dataclass(frozen=True)
class Comparison:
    """Two sides and what sets them apart.

    Args:
        left: The first side.
        right: The second side.
        rows: Largest difference first.
        rest: Difference of all that is not shown, None where differences do not add up (two models).
        by_probability: Whether evidence is measured in probability (else in points of the class score).
        evidence: How it is counted on the left; where it is ``shapley``, scores are relative to the average class.
    """

    left: Side
    right: Side
    rows: tuple[Row, ...]
    rest: float | None
    by_probability: bool
    evidence: EvidenceKind

    @property
    def agree(self) -> bool:
        """Whether both decide for the same class."""
        return self.left.best.name == self.right.best.name
