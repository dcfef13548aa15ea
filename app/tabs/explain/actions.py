"""Explain one picture for one class."""

from __future__ import annotations

from app.examples import Subject
from app.pictures import ServedPictures
from protoexplain.data.geometry import Box
from protoexplain.errors import UserError
from protoexplain.explain.attribution.attribute import find_method
from protoexplain.explain.explainer import ExplainedImage, Explainer, ForwardResult
from protoexplain.io.images import load_image
from protoexplain.view.build import explanation_view
from protoexplain.view.explanation_view import ExplanationView
from protoexplain.view.image_pictures import SIMILARITY, ImagePictures

ROWS = (3, 5, 10)
MARKS = 5


def explain_subject(explainer: Explainer, subject: Subject, label: int | None, rows: int) -> ExplainedImage:
    """Explain a class of a picture, the best one by default.

    Raises:
        UserError: No such class or number of rows, or a picture that cannot be read.
    """
    classes = len(explainer.checkpoint.classes)
    if label is not None and not 0 <= label < classes:
        raise UserError(f"there is no class number {label}", "", "choose one of the list")
    if rows not in ROWS:
        raise UserError(f"{rows} rows cannot be shown", "", f"choose {', '.join(map(str, ROWS))}")
    forward = see(explainer, subject)
    return explainer.explain(forward, labels=None if label is None else [label], top_classes=1, rows=rows)


def see(explainer: Explainer, subject: Subject) -> ForwardResult:
    """Run a model on the region of a picture that it is to see.

    Raises:
        UserError: The picture cannot be read.
    """
    return explainer.forward(subject.path, name=subject.name, box=region_of_interest(explainer, subject))


def region_of_interest(explainer: Explainer, subject: Subject) -> Box | None:
    """The region that the model looks at, in pixels of the picture; None for all of it.

    Raises:
        UserError: The picture cannot be read.
    """
    if subject.frame is not None:
        width, height = load_image(subject.path).size
        left, top, right, bottom = subject.frame
        return Box(left * width, top * height, right * width, bottom * height)
    return subject.box if explainer.checkpoint.data.crop == "box" else None


def explain_picture(
    explainer: Explainer,
    subject: Subject,
    label: int | None = None,
    rows: int = ROWS[1],
    method: str = SIMILARITY,
    characteristics: bool = False,
) -> ExplanationView:
    """Explain a picture, for one class; the best one by default.

    Args:
        explainer: The model.
        subject: The picture.
        label: The class.
        rows: How many prototypes.
        method: Of the heat maps; all but the similarity map take up to seconds for each row.
        characteristics: Whether to say of each match whether hue, shape, texture ... matter to it.

    Raises:
        UserError: As `explain_subject`; no such method.
    """
    find_method(method, "prototype")
    explained = explain_subject(explainer, subject, label, rows)
    if characteristics:
        explained = explainer.with_characteristics(explained)
    return explanation_view(
        explained.explanation,
        ImagePictures(explainer, explained.forward, ServedPictures(explainer.checkpoint), method=method),
        absent=rows,
        marks=MARKS,
        truth=subject.truth if subject.truth in explainer.checkpoint.classes else None,
        drawn=explainer.model.prototype_source.decoded,
        characteristics=explainer.known_characteristics,
    )
