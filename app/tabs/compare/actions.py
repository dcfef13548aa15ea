"""Two pictures in one model, or one picture in two models: what the decisions have in common, what sets them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from app.drawing import Drawing
from app.examples import Subject
from app.links import Words, number
from app.pictures import Picture, Region, prototype_picture
from app.tabs.explain.actions import TOP_CLASSES, see
from protoexplain.data.geometry import Box
from protoexplain.explain.evidence.match import Match, matches
from protoexplain.explain.explainer import Explainer
from protoexplain.explain.forward_pass import Prediction, Reading
from protoexplain.models.contract import EvidenceKind
from protoexplain.view.sentences import LEAST

PICTURES, MODELS = "pictures", "models"
ROWS = 6
OVERLAP = 0.25
"""Intersection over union from which two boxes count as the same place."""


@dataclass(frozen=True)
class Wish:
    """What to compare.

    Args:
        how: `PICTURES` or `MODELS`.
        other: Key of the other picture or name of the other model; empty leaves the choice to the app.
        label: Of the class whose pictures are offered; None for all.
    """

    how: str = PICTURES
    other: str = ""
    label: int | None = None


def read_wish(words: Words) -> Wish:
    """From the words of an address."""
    how = MODELS if words.get("how") == MODELS else PICTURES
    return Wish(how, words.get("other", ""), number(words, "of"))


@dataclass(frozen=True)
class Spot:
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
    left: Spot | None
    right: Spot | None
    difference: float
    share: float


@dataclass(frozen=True)
class Side:
    """One of the two: a picture and what a model makes of it.

    Args:
        title: Of the model or the picture.
        picture: Whole.
        seen: The region that the model saw, None where it saw everything.
        marks: The boxes of the rows.
        predictions: The best classes.
        truth: Class by the data set, None where it is unknown.
        lead: Of the class that the left decided for: over the class that the right decided for, or its score.
    """

    title: str
    picture: Picture
    seen: Region | None
    marks: tuple[Region, ...]
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


def partner(explainer: Explainer, subject: Subject, subjects: Sequence[Subject]) -> Subject | None:
    """The picture to compare with, where none was chosen: one of the class that comes second.

    Raises:
        UserError: The picture cannot be read.
    """
    reading = see(explainer, subject).reading
    second = reading.class_names[reading.ranked[1]] if len(reading.class_names) > 1 else None
    others = [other for other in subjects if other.key != subject.key]
    return next((other for other in others if other.truth == second), others[0] if others else None)


def two_pictures(explainer: Explainer, left: Subject, right: Subject, rows: int = ROWS) -> Comparison:
    """One model on two pictures: the prototypes whose evidence differs most.

    Where the model decides for two classes, evidence counts for the left class against the right one, so that it adds
    up to the lead; otherwise for the one class, and adds up to its score.

    Raises:
        UserError: A picture cannot be read.
    """
    one, other = _Look.at(explainer, left, left.name), _Look.at(explainer, right, right.name)
    labels = list(dict.fromkeys([one.reading.ranked[0], other.reading.ranked[0]]))
    parts = _for_question(one.reading, labels), _for_question(other.reading, labels)
    difference = parts[0] - parts[1]
    order = difference.abs().argsort(descending=True, stable=True)[:rows].tolist()
    order = [p for p in order if abs(float(difference[p])) >= LEAST]
    pairs = [
        _Pair(first, second, float(parts[0][p]), float(parts[1][p]))
        for p, first, second in zip(order, one.matches(labels[0], order), other.matches(labels[0], order), strict=True)
    ]
    leads = _lead(one.reading, labels), _lead(other.reading, labels)
    shown = _rows(one, other, pairs)
    rest = leads[0] - leads[1] - sum(row.difference for row in shown)
    sides = one.side([pair.left for pair in pairs], leads[0]), other.side([pair.right for pair in pairs], leads[1])
    return Comparison(*sides, shown, rest, explainer.unit == "probability", one.reading.evidence_kind)


def two_models(
    left: Explainer, right: Explainer, titles: tuple[str, str], subject: Subject, rows: int = ROWS
) -> Comparison:
    """Two models on one picture: the parts that both or only one of them rely on.

    Prototypes of different models have nothing in common but the place that they look at; those whose boxes overlap
    stand side by side.  Evidence is told as a share of all evidence for the class that each model decides for.

    Raises:
        UserError: The picture cannot be read.
    """
    one, other = _Look.at(left, subject, titles[0]), _Look.at(right, subject, titles[1])
    (mine, my_shares), (its, its_shares) = one.strongest(rows), other.strongest(rows)
    pairs = [
        _Pair(
            None if i is None else mine[i],
            None if j is None else its[j],
            0.0 if i is None else my_shares[i],
            0.0 if j is None else its_shares[j],
        )
        for i, j in paired([match.box for match in mine], [match.box for match in its])
    ]
    pairs.sort(key=lambda pair: -abs(pair.difference))
    left_side = one.side([pair.left for pair in pairs], float(one.reading.scores.max()))
    right_side = other.side([pair.right for pair in pairs], float(other.reading.scores.max()))
    return Comparison(left_side, right_side, _rows(one, other, pairs), None, True, one.reading.evidence_kind)


@dataclass(frozen=True)
class _Pair:
    """What stands side by side, and its evidence on both sides."""

    left: Match | None
    right: Match | None
    left_evidence: float
    right_evidence: float

    @property
    def difference(self) -> float:
        return self.left_evidence - self.right_evidence


@dataclass(frozen=True)
class _Look:
    """A model that has looked at a picture."""

    explainer: Explainer
    subject: Subject
    title: str
    draw: Drawing

    @classmethod
    def at(cls, explainer: Explainer, subject: Subject, title: str) -> _Look:
        return cls(explainer, subject, title, Drawing(explainer, see(explainer, subject)))

    @property
    def reading(self) -> Reading:
        return self.draw.reading

    def matches(self, label: int, prototypes: Sequence[int]) -> list[Match]:
        found = matches(self.reading, [label], prototypes)[0]
        return [found[prototype] for prototype in prototypes]

    def strongest(self, rows: int) -> tuple[list[Match], list[float]]:
        """The prototypes whose presence speaks most for the best class, and their shares of all that does."""
        best = self.reading.ranked[0]
        presence = self.reading.evidence([best]).presence[:, 0].clamp_min(0)
        order = [p for p in presence.argsort(descending=True, stable=True)[:rows].tolist() if float(presence[p]) > 0]
        shares = presence / presence.sum().clamp_min(1e-12)
        return self.matches(best, order), [float(shares[p]) for p in order]

    def spot(self, match: Match | None, evidence: float, number: int) -> Spot | None:
        if match is None:
            return None
        checkpoint = self.explainer.checkpoint
        return Spot(
            match.prototype,
            checkpoint.owner_name(match.prototype),
            prototype_picture(checkpoint, match.prototype, "patch"),
            self.draw.place(match, f"Part {number} of the picture marked by a box"),
            self.draw.heat(match),
            match.similarity,
            evidence,
        )

    def side(self, marked: Sequence[Match | None], lead: float) -> Side:
        known = self.subject.truth in self.explainer.checkpoint.classes
        numbered = [(match, number) for number, match in enumerate(marked, 1) if match is not None]
        return Side(
            self.title,
            self.draw.whole(),
            self.draw.seen(),
            tuple(self.draw.mark(match, str(number)) for match, number in numbered),
            tuple(self.reading.prediction(label) for label in self.reading.ranked[:TOP_CLASSES]),
            self.subject.truth if known else None,
            lead,
        )


def _rows(one: _Look, other: _Look, pairs: Sequence[_Pair]) -> tuple[Row, ...]:
    longest = max((abs(pair.difference) for pair in pairs), default=1.0) or 1.0
    return tuple(
        Row(
            number,
            one.spot(pair.left, pair.left_evidence, number),
            other.spot(pair.right, pair.right_evidence, number),
            pair.difference,
            abs(pair.difference) / longest,
        )
        for number, pair in enumerate(pairs, 1)
    )


def _for_question(reading: Reading, labels: Sequence[int]) -> torch.Tensor:
    """Evidence [P] for the first class, against the second where there is one."""
    evidence = reading.evidence(labels)
    parts = evidence.presence + evidence.absence
    return parts[:, 0] - parts[:, 1] if len(labels) > 1 else parts[:, 0]


def _lead(reading: Reading, labels: Sequence[int]) -> float:
    scores = [float(reading.scores[label]) for label in labels]
    return scores[0] - scores[1] if len(labels) > 1 else scores[0]


def paired(left: Sequence[Sequence[float]], right: Sequence[Sequence[float]]) -> list[tuple[int | None, int | None]]:
    """Places of boxes that overlap, each at most once and as much as possible in sum; then those left alone."""
    overlaps = np.array([[overlap(a, b) for b in right] for a in left]).reshape(len(left), len(right))
    rows, columns = linear_sum_assignment(np.where(overlaps >= OVERLAP, overlaps, 0), maximize=True)
    pairs = [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if overlaps[i, j] >= OVERLAP]
    lone_left = set(range(len(left))) - {i for i, _ in pairs}
    lone_right = set(range(len(right))) - {j for _, j in pairs}
    return [*pairs, *((i, None) for i in sorted(lone_left)), *((None, j) for j in sorted(lone_right))]


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    a, b = Box(*one), Box(*other)
    common = Box(max(a.x0, b.x0), max(a.y0, b.y0), min(a.x1, b.x1), min(a.y1, b.y1)).area
    together = a.area + b.area - common
    return common / together if together else 0.0
