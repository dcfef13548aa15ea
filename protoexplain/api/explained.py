"""What `explain` returns: the explanation of one image as plain data, as a picture and as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protoexplain.checkpoint.prototypes import Edges
from protoexplain.explanations.evidence.local import Explanation, Prediction
from protoexplain.explanations.evidence.match import Match
from protoexplain.explanations.explainer import ExplainedImage, Explainer
from protoexplain.io.atomic import write_file
from protoexplain.io.json_values import finite

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class ExplainedRow:
    """One prototype that was found in an image, and what it says about the explained class.

    Args:
        prototype: Its number.
        owner: Name of its class, None where all classes share it.
        similarity: Activation at its best place, in the unit of the family.
        usual: That of an average training image; None where evidence does not count from it.
        evidence: What it adds to the class score, in logits or, for families whose scores are probabilities, in
            probability; negative where it speaks against the class.
        box: Around its best place, (x0, y0, x1, y1) in pixels of the given image.
        heatmap: float32 [h,w], its activation at each pixel of the region that the model saw (see
            `ImageExplanation.region`), in the unit of the similarity; not scaled to [0, 1].
    """

    prototype: int
    owner: str | None
    similarity: float
    usual: float | None
    evidence: float
    box: Edges
    heatmap: NDArray[np.float32]


class ImageExplanation:
    """Why a model says what it says about one image.

    Args:
        explainer: The model.
        explained: The numbers and the image.

    Example:
        >>> import protoexplain as px
        >>> explanation = px.explain("checkpoints/planted-protopnet", "bird.jpg", rows=3, device="cpu")
        >>> isinstance(explanation, px.ImageExplanation)
        True
        >>> x0, y0, x1, y1 = explanation.region
        >>> explanation.rows[0].heatmap.shape == (y1 - y0, x1 - x0)
        True
        >>> explanation.to_frame().shape
        (3, 11)
    """

    def __init__(self, explainer: Explainer, explained: ExplainedImage) -> None:
        self._explainer, self._explained = explainer, explained

    def __repr__(self) -> str:
        best = self.predicted
        found = len(self._found)
        return f"ImageExplanation({self.image!r}: {best.name}, probability {best.probability:.3f}, {found} rows)"

    @property
    def explanation(self) -> Explanation:
        """All numbers: predictions, evidence of each kind, what is not shown, the sum."""
        return self._explained.explanation

    @property
    def image(self) -> str:
        """Name of the image."""
        return self.explanation.image

    @property
    def predictions(self) -> tuple[Prediction, ...]:
        """All classes with their scores and probabilities, best first."""
        return self.explanation.predictions

    @property
    def predicted(self) -> Prediction:
        """The class that the model names."""
        return self.predictions[0]

    @cached_property
    def class_names(self) -> dict[int, str]:
        """By label."""
        return {entry.label: entry.name for entry in self.predictions}

    @property
    def region(self) -> Edges:
        """The part of the image that the model saw, (x0, y0, x1, y1) in its pixels."""
        crop = self.explanation.geometry.crop
        return crop.x0, crop.y0, crop.x1, crop.y1

    @cached_property
    def rows(self) -> tuple[ExplainedRow, ...]:
        """The prototypes that were found, by the size of what they add to the score of the explained class."""
        return tuple(self._row(match) for match in self._found)

    @property
    def _found(self) -> tuple[Match, ...]:
        return self.explanation.classes[0].found

    def _row(self, match: Match) -> ExplainedRow:
        x0, y0, x1, y1 = map(int, self.region)
        return ExplainedRow(
            match.prototype,
            match.owner,
            match.similarity,
            match.usual,
            match.presence,
            match.box,
            self.explanation.heat(match.prototype, x1 - x0, y1 - y0),
        )

    def plot(self) -> Figure:
        """The sheet "this part looks like that part" as a matplotlib figure.

        Raises:
            UserError: A picture of a prototype cannot be read.
        """
        from protoexplain.view.build import explanation_view
        from protoexplain.view.sentences import about_decision
        from protoexplain.view.sheet import SheetPictures, draw_sheet

        explainer, forward = self._explainer, self._explained.forward
        pictures = SheetPictures(self.explanation, self._explained.rgb, explainer.patch, explainer.source)
        several = len(explainer.checkpoint.classes) > 1
        contrast = explainer.contrast(forward) if several else None
        change = explainer.what_would_change(forward) if several else None
        view = explanation_view(
            self.explanation,
            pictures,
            drawn=explainer.model.prototype_source.decoded,
            sentences=about_decision(contrast, change) if several else (),
        )
        return _figure(draw_sheet(view, pictures.arrays).pixels())

    def to_frame(self) -> pandas.DataFrame:
        """The rows as a table: image, class, prototype, owner, similarity, usual, evidence, x0, y0, x1, y1."""
        return explanation_frame([self])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; the definition ``Explanation`` in report.schema.json describes it."""
        return self.explanation.to_dict()

    def save_json(self, path: str | Path) -> None:
        """Write `to_dict` to a file.

        Raises:
            UserError: The file cannot be written.
        """
        write_file(Path(path), json.dumps(finite(self.to_dict()), indent=2, ensure_ascii=False) + "\n")


def _figure(rgb: NDArray[np.uint8]) -> Figure:
    """A picture that fills a figure of its size."""
    from matplotlib.figure import Figure

    from protoexplain.view.page import DPI

    figure = Figure(figsize=(rgb.shape[1] / DPI, rgb.shape[0] / DPI), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.imshow(rgb, aspect="auto")
    return figure


_COLUMNS = ("image", "class", "prototype", "owner", "similarity", "usual", "evidence", "x0", "y0", "x1", "y1")


def explanation_frame(explanations: Iterable[ImageExplanation]) -> pandas.DataFrame:
    """The rows of explanations, one after the other, as a table with the columns of `ImageExplanation.to_frame`."""
    import pandas

    rows: list[tuple[object, ...]] = []
    for one in explanations:
        (shown, *_) = one.explanation.classes
        rows += (
            (
                one.image,
                shown.name,
                m.prototype,
                m.owner,
                m.similarity,
                m.usual,
                m.presence,
                *m.box,
            )
            for m in shown.found
        )
    return pandas.DataFrame(rows, columns=list(_COLUMNS))
