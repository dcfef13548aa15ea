"""Test pictures to choose from: all, those that the model names wrongly, those that it is least sure of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from protoexplain_app.image_predictions import ImagePrediction, PredictionJob
from protoexplain_app.input_image import InputImage
from protoexplain_app.library import Choice, Library
from protoexplain_app.links import Parameters, number

ALL, WRONG, UNSURE = "all", "wrong", "unsure"
PAGE, MOST = 36, 2000


@dataclass(frozen=True)
class Query:
    """Args: show: `ALL`, `WRONG` or `UNSURE`; label: of a class, None for all; count: how many at most."""

    show: str = ALL
    label: int | None = None
    count: int = PAGE


@dataclass(frozen=True)
class OfferedImages:
    """Pictures to choose from.

    Args:
        pictures: With what the model says about them, where that is known.
        more: How many further ones there are.
        predictions: What is known of the model on these pictures.
        waiting: Whether the pictures that were asked for are known only when the model has looked at all of them.
    """

    pictures: tuple[tuple[InputImage, ImagePrediction | None], ...]
    more: int
    predictions: PredictionJob
    waiting: bool


def parse_query(parameters: Parameters) -> Query:
    """From the fields of the form."""
    show = parameters.get("show", ALL)
    count = min(max(number(parameters, "count") or PAGE, PAGE), MOST)
    return Query(show if show in (ALL, WRONG, UNSURE) else ALL, number(parameters, "of"), count)


def offered_images(library: Library, choice: Choice, query: Query) -> OfferedImages:
    """The pictures that are asked for; what needs the model's opinion on all of them is asked for.

    Raises:
        UserError: There is no such model.
    """
    checkpoint = library.checkpoint(choice)
    predictions = (
        library.image_predictions.known(checkpoint)
        if query.show == ALL
        else library.image_predictions.request(library.explainer(choice))
    )
    if query.show != ALL and not predictions.finished:
        return OfferedImages((), 0, predictions, waiting=True)
    truth = (
        checkpoint.classes[query.label] if query.label is not None and query.label < len(checkpoint.classes) else None
    )
    images = [s for s in library.examples.of(checkpoint) if truth in (None, s.truth)]
    pairs = [(image, (predictions.result or {}).get(image.key)) for image in images]
    if query.show != ALL:
        judged = [(image, prediction) for image, prediction in pairs if prediction is not None]
        pairs = list(_wrong(judged) if query.show == WRONG else sorted(judged, key=lambda pair: pair[1].lead))
    return OfferedImages(tuple(pairs[: query.count]), max(len(pairs) - query.count, 0), predictions, waiting=False)


def _wrong(judged: Sequence[tuple[InputImage, ImagePrediction]]) -> Iterator[tuple[InputImage, ImagePrediction]]:
    """Those named wrongly, the surest mistakes first."""
    surest_first = sorted(judged, key=lambda pair: -pair[1].probability)
    return ((image, prediction) for image, prediction in surest_first if not prediction.right)
