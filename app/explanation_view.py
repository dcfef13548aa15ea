"""What the page shows about one picture and one class, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from app.pictures import Picture, Region
from protoexplain.explain.evidence.local import Prediction
from protoexplain.models.contract import EvidenceKind
from protoexplain.report.report import Sum


@dataclass(frozen=True)
class RowView:
    """One prototype: this part looks like that part.

    Args:
        number: In the list; the whole picture bears it too.
        prototype: Its number in the model.
        owner: Its class, None where all classes share it.
        similarity: In the unit of the family.
        usual: That of an average training image, None where evidence does not count from it.
        evidence: What it adds to the class score.
        share: Length of the bar, 0 to 1 of the longest.
        part: The part of the picture, cut out; None in rows about what is missing, as the next two.
        place: The seen region with the part's box.
        heat: The heat map, to be laid over the seen region.
        patch: The part of the training picture.
        source: The training picture with the part's box.
        written: Whether the prototype equals that part; False where the part illustrates it.
        drawn: Whether the model draws the prototype, as a whole picture; `source` is then the nearest training picture.
        usually: Which visible characteristics the prototype rests on in the pictures of its class, in a sentence; empty
            where that was not measured.
        here: Which ones this match rests on; empty where nobody asked.
    """

    number: int
    prototype: int
    owner: str | None
    similarity: float
    usual: float | None
    evidence: float
    share: float
    part: Picture | None
    place: Picture | None
    heat: Picture | None
    patch: Picture | None
    source: Picture | None
    written: bool
    drawn: bool
    usually: str = ""
    here: str = ""


@dataclass(frozen=True)
class ExplanationView:
    """A picture, what the model makes of it, and the evidence for one class.

    Args:
        name: Of the picture.
        picture: Whole.
        seen: The region that the model saw, None where it saw everything.
        marks: The boxes of the rows.
        truth: Class by the data set.
        predictions: The best ones and the shown one.
        shown: The class that the rows are about.
        rank: Its place among all classes, from 1.
        supporting: Rows that speak for it.
        opposing: Rows that speak against it.
        missing: Rows that speak for it by their absence.
        total: The parts of its score.
        by_probability: Whether evidence is measured in probability (else in points of the class score).
        evidence: How it is counted; where it is ``shapley``, scores are relative to the average class.
        notices: What was done to the picture.
    """

    name: str
    picture: Picture
    seen: Region | None
    marks: tuple[Region, ...]
    truth: str | None
    predictions: tuple[Prediction, ...]
    shown: Prediction
    rank: int
    supporting: tuple[RowView, ...]
    opposing: tuple[RowView, ...]
    missing: tuple[RowView, ...]
    total: Sum
    by_probability: bool
    evidence: EvidenceKind
    notices: tuple[str, ...]

    @property
    def best(self) -> Prediction:
        return self.predictions[0]

    @property
    def illustrated(self) -> bool:
        """Whether the shown training parts only illustrate the prototypes."""
        return not all(row.written for row in (*self.supporting, *self.opposing, *self.missing))

    @property
    def drawn(self) -> bool:
        """Whether the model draws the prototypes itself."""
        return any(row.drawn for row in (*self.supporting, *self.opposing, *self.missing))

    @property
    def right(self) -> bool | None:
        """Whether the best class is that of the data set, None where that is unknown."""
        return None if self.truth is None else self.best.name == self.truth
