"""Makes the view of an explanation: chooses its rows, numbers them, adds them up and puts them into words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Protocol

from protoexplain.checkpoint.prototypes import Edges
from protoexplain.explanations.characteristics.match_characteristics import MatchCharacteristics
from protoexplain.explanations.characteristics.table import Characteristics
from protoexplain.explanations.characteristics.words import (
    Verdict,
    about_prototype,
    by_verdict,
    match_findings,
    prototype_findings,
)
from protoexplain.explanations.evidence.contrast import Lead, lead
from protoexplain.explanations.evidence.local import UNFAMILIAR, ClassExplanation, Explanation
from protoexplain.explanations.evidence.match import Match, Statement
from protoexplain.explanations.evidence.occlusion_test import BoxOcclusionTest
from protoexplain.explanations.forward_pass import ForwardPass
from protoexplain.view.explanation_view import ExplanationView, Rows, RowView, Sum
from protoexplain.view.numbers import amount
from protoexplain.view.pictures import Picture
from protoexplain.view.sentences import LEAST, about_blanking, about_route

TOP_CLASSES = 5


class RowPictures(Protocol):
    """Gives the pictures of an explanation as the place where it is shown needs them: inside the page, by address, or
    as arrays."""

    def whole(self, marks: Sequence[tuple[Edges, str]]) -> Picture:
        """The image with the region that the model saw, if that is not all of it, and with marked boxes."""
        ...

    def part(self, match: Match, number: int) -> Picture:
        """The part of the image in the box of a match."""
        ...

    def place(self, match: Match, number: int) -> Picture | None:
        """The region that the model saw with the box of a match, where the heat map is a layer over it."""
        ...

    def heat(self, match: Match) -> Picture:
        """The heat map of a match: over the region that the model saw, or the layer over `place`."""
        ...

    def patch(self, prototype: int) -> Picture | None:
        """The part of the training picture that a prototype stands for."""
        ...

    def source(self, prototype: int) -> Picture | None:
        """The training picture with the box of that part."""
        ...


def explanation_view(
    explanation: Explanation,
    pictures: RowPictures,
    *,
    absent: int = 3,
    marks: int | None = None,
    truth: str | None = None,
    drawn: bool = False,
    occlusion: Mapping[int, BoxOcclusionTest] | None = None,
    characteristics: Characteristics | None = None,
    sentences: Sequence[str] = (),
    forward_pass: ForwardPass | None = None,
) -> ExplanationView:
    """What is shown of an explanation for the first of its classes.

    Args:
        explanation: Of a picture.
        pictures: Gives its pictures and those of its prototypes.
        absent: Rows at most in each list of what is missing, unwanted or lacking.
        marks: Rows at most whose boxes are marked in the whole picture; all by default.
        truth: Class by the data set.
        drawn: Whether the model draws its prototypes, as whole pictures.
        occlusion: Prototype -> what blanking its box did.
        characteristics: What the checkpoint knows of its prototypes.
        sentences: Passed on, after the way through a tree.
        forward_pass: Of the picture, to tell the lead over the next class.

    Raises:
        UserError: A picture of a prototype cannot be read.
    """
    shown, by_probability = explanation.classes[0], explanation.unit == "probability"
    stated = list(_statements(shown, absent))
    longest = max((abs(value) for _, value, _ in stated), default=1.0)
    rows: dict[str, list[RowView]] = {}
    for number, (kind, value, statement) in enumerate(stated, 1):
        found = statement if isinstance(statement, Match) else None
        tested = (occlusion or {}).get(statement.prototype) if found else None
        warnings = tuple(f"Be careful: {warning}." for warning in tested.warnings) if tested else ()
        here = statement.characteristics
        row = RowView(
            number=number,
            prototype=statement.prototype,
            owner=statement.owner,
            similarity=statement.similarity,
            usual=statement.usual,
            evidence=value,
            words=amount(value, by_probability),
            share=abs(value) / longest,
            part=pictures.part(found, number) if found else None,
            place=pictures.place(found, number) if found else None,
            heat=pictures.heat(found) if found else None,
            patch=pictures.patch(statement.prototype),
            source=pictures.source(statement.prototype),
            projected=statement.patch is None or statement.patch.projected,
            convincing=found is None or found.convincing,
            notes=(*([about_blanking(tested)] if tested else []), *warnings),
            careful=bool(warnings),
            usually=about_prototype(characteristics, statement.prototype, "it") if characteristics and found else "",
            here=here.sentence if here else "",
            traits=_traits(characteristics, found) if characteristics and found else {},
            scores=_scores(here) if here else (),
        )
        rows.setdefault(kind, []).append(row)
    places = [(one, str(number)) for number, (_, _, one) in enumerate(stated, 1) if isinstance(one, Match)]
    best = explanation.predictions[:TOP_CLASSES]
    view = ExplanationView(
        name=explanation.image,
        truth=truth,
        picture=pictures.whole(_joined([(match.box, text) for match, text in places[:marks]])),
        predictions=(*best, *(e for e in explanation.predictions[TOP_CLASSES:] if e.label == shown.label)),
        lists=tuple(Rows(kind, tuple(some)) for kind, some in rows.items()),
        total=_sum(shown, stated),
        by_probability=by_probability,
        drawn=drawn,
        sentences=(*about_route(explanation), *sentences),
        notices=tuple(notice for notice in explanation.notices if notice != UNFAMILIAR),
        explanation=explanation,
    )
    return view if forward_pass is None else replace(view, lead=_lead(view, forward_pass))


def _lead(view: ExplanationView, forward_pass: ForwardPass) -> Lead | None:
    """Of the shown class over the best one of the others."""
    other = next((e.label for e in view.explanation.predictions if e.label != view.shown.label), None)
    if other is None:
        return None
    return lead(forward_pass, view.shown.label, other, [row.prototype for row in view.adding])


_Stated = tuple[str, float, Statement]


def _statements(shown: ClassExplanation, absent: int) -> Iterator[_Stated]:
    """(kind, value, statement) of all that gets a row, list by list; values that would be written as zero do not."""
    yield from (("for", match.presence, match) for match in shown.found if match.presence >= LEAST)
    missing = (("missing", one.absence, one) for one in shown.missing if one.absence >= LEAST)
    yield from islice(missing, absent)
    yield from (("against", match.presence, match) for match in shown.found if match.presence <= -LEAST)
    missed = (("missed", one.absence, one) for one in shown.missing if one.absence <= -LEAST)
    yield from islice(missed, absent)
    yield from (("unwanted", -(m.unwanted or 0), m) for m in shown.unwanted[:absent] if (m.unwanted or 0) >= LEAST)
    yield from (("lacking", -(one.lacking or 0), one) for one in shown.lacking[:absent] if (one.lacking or 0) >= LEAST)


def _sum(shown: ClassExplanation, stated: Sequence[_Stated]) -> Sum:
    found = sum(value for kind, value, _ in stated if kind in ("for", "against"))
    missing = sum(value for kind, value, _ in stated if kind in ("missing", "missed"))
    return Sum(found, missing, shown.total() - found - missing - shown.bias, shown.bias, shown.score)


def _joined(marks: Sequence[tuple[Edges, str]]) -> list[tuple[Edges, str]]:
    """Prototypes that were found at one place share its box."""
    places: dict[Edges, list[str]] = {}
    for box, text in marks:
        places.setdefault(box, []).append(text)
    return [(box, ", ".join(texts)) for box, texts in places.items()]


def _traits(known: Characteristics, match: Match) -> dict[Verdict, tuple[str, ...]]:
    """What matters to a match; where it was not measured, to its prototype."""
    here = match.characteristics.calibrated if match.characteristics else None
    if not here:
        return by_verdict(prototype_findings(known, match.prototype))
    scores = {name: score * known.calibration.scale[name] for name, score in here.items()}
    return by_verdict(match_findings(scores, match.similarity, known.calibration, match.prototype))


def _scores(here: MatchCharacteristics) -> tuple[str, ...]:
    scores = here.calibrated or here.published
    return tuple(f"{name}  {scores[name]:+.2f}" for name in sorted(scores, key=lambda name: -scores[name]))
