"""Explain one picture for one class."""

from __future__ import annotations

from dataclasses import replace

from app.drawing import SIMILARITY, Drawing
from app.explanation_view import ExplanationView
from app.input_image import InputImage, see
from protoexplain.errors import UserError
from protoexplain.explain.attribution.attribute import find_method
from protoexplain.explain.characteristics.words import about_prototype
from protoexplain.explain.evidence.local import ClassExplanation, Explanation, Prediction
from protoexplain.explain.evidence.match import Match, Statement
from protoexplain.explain.explainer import ExplainedImage, Explainer
from protoexplain.report.report import Sum
from protoexplain.view.sentences import LEAST

TOP_CLASSES = 5
ROWS = (3, 5, 10)
MARKS = 5


def explanation_of(explainer: Explainer, image: InputImage, label: int | None, rows: int) -> ExplainedImage:
    """Explain a class of a picture, the best one by default.

    Raises:
        UserError: No such class or number of rows, or a picture that cannot be read.
    """
    classes = len(explainer.checkpoint.classes)
    if label is not None and not 0 <= label < classes:
        raise UserError(f"there is no class number {label}", "", "choose one of the list")
    if rows not in ROWS:
        raise UserError(f"{rows} rows cannot be shown", "", f"choose {', '.join(map(str, ROWS))}")
    seen = see(explainer, image)
    return explainer.explain(seen, labels=None if label is None else [label], top_classes=1, rows=rows)


def explain_image(
    explainer: Explainer,
    image: InputImage,
    label: int | None = None,
    rows: int = ROWS[1],
    method: str = SIMILARITY,
    characteristics: bool = False,
) -> ExplanationView:
    """Explain a picture, for one class; the best one by default.

    Args:
        explainer: The model.
        image: The picture.
        label: The class.
        rows: How many prototypes.
        method: Of the heat maps; all but the similarity map take up to seconds for each row.
        characteristics: Whether to say of each match whether hue, shape, texture ... matter to it.

    Raises:
        UserError: As `explanation_of`; no such method.
    """
    find_method(method, "prototype")
    explained = explanation_of(explainer, image, label, rows)
    explanation, shown = explained.explanation, explained.explanation.classes[0]
    draw = Drawing(explainer, explained.seen, method)
    found = sorted(
        (match for match in shown.found if abs(match.presence) >= LEAST), key=lambda match: match.presence <= 0
    )
    missing = [match for match in shown.missing if match.absence >= LEAST]
    longest = max([abs(match.presence) for match in found] + [match.absence for match in missing], default=1.0)
    drawn = [draw.found(i, match, match.presence / longest) for i, match in enumerate(found, 1)]
    known = explainer.known_characteristics
    if known is not None:
        drawn = [replace(row, usually=about_prototype(known, row.prototype, "it")) for row in drawn]
    if characteristics:
        matched = explainer.characteristics(explained.seen, [match.prototype for match in found])
        drawn = [replace(row, here=matched[row.prototype].sentence) for row in drawn]
    rank = next(i for i, entry in enumerate(explanation.predictions, 1) if entry.label == shown.label)
    return ExplanationView(
        name=explanation.image,
        picture=draw.whole(),
        seen=draw.crop_region(),
        marks=tuple(draw.mark(match, str(i)) for i, match in enumerate(found[:MARKS], 1)),
        truth=image.known_truth(explainer.checkpoint),
        predictions=_shortlist(explanation, rank),
        shown=explanation.predictions[rank - 1],
        rank=rank,
        supporting=tuple(row for row in drawn if row.evidence > 0),
        opposing=tuple(row for row in drawn if row.evidence <= 0),
        missing=tuple(draw.absent(i, m, m.absence / longest) for i, m in enumerate(missing, len(found) + 1)),
        total=_sum(shown, found, missing),
        by_probability=explainer.unit == "probability",
        evidence=explanation.evidence,
        notices=explanation.notices,
    )


def _shortlist(explanation: Explanation, rank: int) -> tuple[Prediction, ...]:
    best = explanation.predictions[:TOP_CLASSES]
    return best if rank <= len(best) else (*best, explanation.predictions[rank - 1])


def _sum(shown: ClassExplanation, found: list[Match], missing: list[Statement]) -> Sum:
    by_found = sum(match.presence for match in found)
    by_missing = sum(match.absence for match in missing)
    return Sum(by_found, by_missing, shown.total() - by_found - by_missing - shown.bias, shown.bias, shown.score)
