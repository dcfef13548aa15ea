"""One explained image as plain data that every page and sheet draws: rows, their pictures by reference, and the sum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from protoexplain.explanations.characteristics.words import Verdict
from protoexplain.explanations.evidence.contrast import Lead
from protoexplain.explanations.evidence.local import UNFAMILIAR, ClassExplanation, Explanation, Prediction
from protoexplain.view.pictures import Picture

SCORED = ("for", "missing", "against", "missed")
"""Kinds of rows that add up to the score; the others tell what was lost."""


@dataclass(frozen=True)
class RowView:
    """One prototype in an explanation: this part looks like that part.

    Args:
        number: In the list; the whole picture bears it too, where the part was found.
        prototype: Its number in the model.
        owner: Its class, None where all classes share it.
        similarity: In the unit of the family.
        usual: That of an average training image, None where evidence does not count from it.
        evidence: What it adds to the class score, or, negative, what the class loses by it.
        words: Evidence as it is written, such as ``+2.31`` or ``+3.1 %``.
        share: Length of the bar, 0 to 1 of the longest.
        part: The part of the picture; None where the row is about what is missing, as the next two.
        place: The region that the model saw with the part's box; None where `heat` shows that, too.
        heat: Where the picture looks like the prototype.
        patch: The part of the training picture.
        source: The training picture, with the part's box.
        projected: Whether the prototype equals that part; False where the part illustrates it.
        convincing: Whether the part that was found is like the prototype, see `Match.convincing`; True for what is
            missing.
        notes: What blanking the box does, and what a reader has to be careful about.
        careful: Whether there is something to be careful about.
        usually: Which visible characteristics the prototype rests on in the pictures of its class, in a sentence; empty
            where that was not measured.
        here: Which ones this match rests on; empty where that was not measured.
        traits: Verdict -> the characteristics that it fits, of this match or, where that was not measured, of the
            prototype in its class; empty where neither was.
        scores: The characteristics of this match with their scores, the largest first.
    """

    number: int
    prototype: int
    owner: str | None
    similarity: float
    usual: float | None
    evidence: float
    words: str
    share: float
    part: Picture | None
    place: Picture | None
    heat: Picture | None
    patch: Picture | None
    source: Picture | None
    projected: bool
    convincing: bool = True
    notes: tuple[str, ...] = ()
    careful: bool = False
    usually: str = ""
    here: str = ""
    traits: Mapping[Verdict, tuple[str, ...]] = field(default_factory=dict)
    scores: tuple[str, ...] = ()

    @property
    def resemblance(self) -> str:
        """Similarity, and what is usual."""
        return f"{self.similarity:.2f}" + ("" if self.usual is None else f", usually {self.usual:.2f}")


@dataclass(frozen=True)
class Rows:
    """A list of rows.

    Args:
        kind: ``for``, ``against``, ``missing`` (as expected), ``missed`` (which speaks against the class), ``unwanted``
            (found) or ``lacking`` (though wanted).
        rows: The largest first.
    """

    kind: str
    rows: tuple[RowView, ...]


@dataclass(frozen=True)
class Sum:
    """Parts that add up to the class score, which is relative to the average class where evidence is ``shapley``."""

    found: float
    missing: float
    rest: float
    bias: float
    score: float


@dataclass(frozen=True)
class ExplanationView:
    """A picture, what the model says of it, and why: what is shown of an explanation for one class.

    Args:
        name: Of the picture.
        truth: Its class by the data set, None where unknown.
        picture: Whole, with the region that the model saw (without text) and the boxes of the rows.
        predictions: The best classes, and the shown one.
        lists: Rows about the shown class, numbered through.
        total: The parts of its score.
        by_probability: Whether scores and evidence are probabilities.
        drawn: Whether the model draws its prototypes, as whole pictures.
        sentences: The way through a tree, why not the next class, and what would change the answer.
        notices: What was done to the picture when it was read.
        explanation: All numbers; the first of its classes is the shown one.
        lead: Over the next class, or, negative, behind the best one; its parts are the prototypes of rows about the
            score.  None where there is no other class.
    """

    name: str
    truth: str | None
    picture: Picture
    predictions: tuple[Prediction, ...]
    lists: tuple[Rows, ...]
    total: Sum
    by_probability: bool
    drawn: bool
    sentences: tuple[str, ...]
    notices: tuple[str, ...]
    explanation: Explanation
    lead: Lead | None = None

    @property
    def calibrated(self) -> bool:
        """Whether probabilities were calibrated on held-out pictures."""
        return self.explanation.familiar is not None

    @property
    def adding(self) -> tuple[RowView, ...]:
        """Rows that tell a part of the score, one for each prototype."""
        rows = [row for kind in SCORED for row in self.of_kind(kind)]
        return tuple({row.prototype: row for row in reversed(rows)}.values())[::-1]

    @property
    def shown(self) -> ClassExplanation:
        """The class that the rows are about."""
        return self.explanation.classes[0]

    @property
    def best(self) -> Prediction:
        """The class that the model names."""
        return self.predictions[0]

    @property
    def rank(self) -> int:
        """Place of the shown class among all classes, from 1."""
        return [entry.label for entry in self.explanation.predictions].index(self.shown.label) + 1

    @property
    def right(self) -> bool | None:
        """Whether the best class is that of the data set, None where that is unknown."""
        return None if self.truth is None else self.best.name == self.truth

    @property
    def warning(self) -> str:
        """That the picture resembles nothing that the model has learned, and why after a colon; empty elsewhere."""
        return "" if self.explanation.familiar is not False else UNFAMILIAR

    @property
    def relative(self) -> bool:
        """Whether scores are relative to the average class, and evidence counts from what is usual."""
        return self.explanation.evidence == "shapley"

    @property
    def rows(self) -> tuple[RowView, ...]:
        """All rows in their order."""
        return tuple(row for some in self.lists for row in some.rows)

    @property
    def illustrated(self) -> bool:
        """Whether some of the shown training parts only illustrate their prototypes."""
        return not all(row.projected for row in self.rows)

    def of_kind(self, kind: str) -> tuple[RowView, ...]:
        """The rows of one kind, none where there are none."""
        return next((some.rows for some in self.lists if some.kind == kind), ())
