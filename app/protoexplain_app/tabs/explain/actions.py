"""Explain one picture for one class."""

from __future__ import annotations

from protoexplain.errors import UserError
from protoexplain.explanations.attribution.attribute import find_method
from protoexplain.explanations.evidence.occlusion_test import BoxOcclusionTest
from protoexplain.explanations.explainer import ExplainedImage, Explainer
from protoexplain.progress import Progress
from protoexplain.view.build import explanation_view
from protoexplain.view.explanation_view import ExplanationView
from protoexplain.view.image_pictures import SIMILARITY, ImagePictures
from protoexplain_app.input_image import InputImage, run_model
from protoexplain_app.pictures import ServedPictures

ROWS = (3, 5, 10)


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
    forward = run_model(explainer, image)
    return explainer.explain(forward, labels=None if label is None else [label], top_classes=1, rows=rows)


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
    if characteristics:
        explained = explainer.with_characteristics(explained)
    return explanation_view(
        explained.explanation,
        ImagePictures(explainer, explained.forward, ServedPictures(explainer.checkpoint), method=method),
        absent=rows,
        truth=image.known_truth(explainer.checkpoint),
        drawn=explainer.model.prototype_source.decoded,
        characteristics=explainer.known_characteristics,
        forward_pass=explained.forward.forward_pass,
    )


def occlusion_tests(
    explainer: Explainer,
    image: InputImage,
    label: int | None = None,
    rows: int = ROWS[1],
    progress: Progress = lambda done, total: None,
) -> dict[int, BoxOcclusionTest]:
    """What covering the box of each shown match does to its similarity, by prototype.

    The tests end with what `progress` raises.

    Raises:
        UserError: As `explanation_of`.
    """
    explained = explanation_of(explainer, image, label, rows)
    shown = explained.explanation.classes[0]
    return explainer.occlusion_test(explained.forward, (*shown.found, *shown.unwanted), progress=progress)
