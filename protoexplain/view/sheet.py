"""The sheet "this part looks like that part": one picture that explains one class of one image."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from protoexplain.checkpoint.prototypes import Edges
from protoexplain.class_names import readable
from protoexplain.data.geometry import Box, Geometry
from protoexplain.explanations.evidence.local import Explanation
from protoexplain.explanations.evidence.match import Match
from protoexplain.explanations.overlays import AGAINST_COLOUR, FOR_COLOUR, RGB, draw_box, match_heat
from protoexplain.view.explanation_view import ExplanationView, RowView
from protoexplain.view.page import POINTS, Page
from protoexplain.view.pictures import Picture
from protoexplain.view.sentences import about_absence, about_pictures, about_score

_TITLE_CHARACTERS, _NOTE_CHARACTERS, _BESIDE_CHARACTERS, _OWNER_CHARACTERS = 120, 170, 52, 48
_COLUMN, _ROW, _MARGIN, _GAP = 2.67, 2.15, 0.15, 0.12
"""Inches: a column of width 1, a row, the margin of the sheet, between pictures."""
_WIDTHS, _BESIDE = (1, 1, 0.8, 1, 1.25), 1.25
"""Columns of pictures and numbers, and of what a match rests on."""
_LONGEST = 1024
"""Pixels of the longer side of an image from which its pictures are drawn: four times as many as they take."""


class SheetPictures:
    """Gives the pictures of a view as keys of arrays, which the sheet draws.

    Args:
        explanation: Of the image.
        rgb: The image [H,W,3].
        patch: Prototype -> picture of its patch.
        source: Prototype -> its source picture with the box drawn.
        heat: Match -> picture of its heat map; the similarity map over the region that the model saw by default.
    """

    def __init__(
        self,
        explanation: Explanation,
        rgb: RGB,
        patch: Callable[[int], RGB | None],
        source: Callable[[int], RGB | None],
        heat: Callable[[Match], RGB] | None = None,
    ) -> None:
        self.arrays: dict[str, RGB] = {}
        self._scale = min(_LONGEST / max(rgb.shape[:2]), 1)
        if self._scale < 1:
            height, width = (max(round(self._scale * side), 1) for side in rgb.shape[:2])
            rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore
            explanation = _scaled(explanation, self._scale)
        self._rgb, self._patch, self._source = rgb, patch, source
        self._heat = heat or (lambda match: match_heat(explanation, match, rgb))

    def whole(self, marks: Sequence[tuple[Edges, str]]) -> Picture:
        return self._keyed("whole", self._rgb)

    def part(self, match: Match, number: int) -> Picture:
        """The whole image with the box of the match."""
        return self._keyed(f"part/{number}", draw_box(self._rgb, _times(Box(*match.box), self._scale)))

    def place(self, match: Match, number: int) -> None:
        """Heat maps are no layers."""

    def heat(self, match: Match) -> Picture:
        return self._keyed(f"heat/{match.prototype}", self._heat(match))

    def patch(self, prototype: int) -> Picture | None:
        picture = self._patch(prototype)
        return None if picture is None else self._keyed(f"patch/{prototype}", picture)

    def source(self, prototype: int) -> Picture | None:
        picture = self._source(prototype)
        return None if picture is None else self._keyed(f"source/{prototype}", picture)

    def _keyed(self, key: str, rgb: RGB) -> Picture:
        self.arrays[key] = rgb
        return Picture(key, key, rgb.shape[1], rgb.shape[0])


def draw_sheet(
    view: ExplanationView, arrays: Mapping[str, RGB], titles: tuple[str, str, str, str] | None = None
) -> Page:
    """Draw the shown class of an image.

    Each row: the image with the box of the best place, the heat map, the prototype's patch, its source image with
    box, similarity and evidence, and what the match rests on where that was measured.  What is missing or unwanted
    follows below, and the sentences of the view.

    Args:
        view: With `SheetPictures`.
        arrays: Theirs: key -> uint8 [H,W,3].
        titles: Above the images, heat maps, patches and source pictures.
    """
    rows = [row for kind in ("for", "against") for row in view.of_kind(kind)]
    title = textwrap.wrap(_title(view, len(rows)), _TITLE_CHARACTERS)
    below = [
        text for line in (*about_absence(view.shown), *view.sentences) for text in _wrapped(line, _NOTE_CHARACTERS)
    ]
    rests = any(row.here for row in rows)
    heads = [*(titles or about_pictures(view.drawn)), "", "what it rests on" if rests else ""] if rows else []
    edges = np.cumsum([_MARGIN, *(_COLUMN * width for width in (*_WIDTHS, *([_BESIDE] if rests else [])))]).tolist()
    top = _MARGIN + _height(title, 13) + 0.1
    first = top + (0.3 if rows else 0)
    height = first + _ROW * len(rows) + _height(below, 10, 1.4) + 2 * _MARGIN
    page = Page(edges[-1] + _MARGIN, height)
    page.text("\n".join(title), edges[0], _MARGIN, size=13)
    for left, right, head in zip(edges, edges[1:], heads, strict=False):
        page.text(head, (left + right) / 2, top, size=10, centred=True)
    for place, row in enumerate(rows):
        y = first + place * _ROW
        for left, right, picture in zip(edges, edges[1:], (row.part, row.heat, row.patch, row.source), strict=False):
            width, height = right - left - _GAP, _ROW - _GAP
            if picture:
                page.picture(arrays[picture.source], left, y, width, height)
            else:
                page.text("no picture", left + width / 2, y + height / 2, size=9, centred=True)
        _numbers(page, row, edges[4], y, _COLUMN * _WIDTHS[4] - _GAP, "" if view.by_probability else " logit")
        if row.here:
            text = [*row.scores, "", *textwrap.wrap(row.here, _BESIDE_CHARACTERS)]
            page.text("\n".join(text), edges[5], y + 0.05, size=8, spacing=1.3)
    page.text("\n".join(below), edges[0], first + _ROW * len(rows) + _MARGIN, size=10, spacing=1.4)
    return page


def sheet(view: ExplanationView, arrays: Mapping[str, RGB], titles: tuple[str, str, str, str] | None = None) -> bytes:
    """As `draw_sheet`, written as PNG."""
    return draw_sheet(view, arrays, titles).png()


def _times(box: Box, scale: float) -> Box:
    return Box(*(edge * scale for edge in box.as_list()))


def _scaled(explanation: Explanation, scale: float) -> Explanation:
    """The same of an image that was scaled down."""
    geometry = explanation.geometry
    return replace(explanation, geometry=Geometry(_times(geometry.crop, scale), geometry.input_size))


def _height(lines: Sequence[str], size: float, spacing: float = 1.2) -> float:
    """Inches of lines of text."""
    return len(lines) * size * spacing * 1.17 / POINTS


def _wrapped(text: str, characters: int) -> list[str]:
    return textwrap.wrap(text, characters) or [""]


def _title(view: ExplanationView, rows: int) -> str:
    total = view.total
    return (
        f"{view.name}: why {view.shown.name}?  probability {view.shown.probability:.1%},"
        f" {about_score(view.explanation.evidence)} {total.score:.2f}"
        f" = {total.found:.2f} from the {rows} strongest prototypes {total.score - total.found:+.2f} from the rest"
    )


def _numbers(page: Page, row: RowView, x: float, y: float, width: float, unit: str) -> None:
    """Who, how similar, how much, a bar to the right or left, and notes."""
    page.text(f"Prototype {row.prototype}", x, y, size=10, bold=True)
    page.text(_cut(f"of {readable(row.owner)}" if row.owner else "shared by all classes"), x, y + 0.2, size=9)
    page.text(f"similarity {row.resemblance}", x, y + 0.42, size=10)
    word = "speaks for" if row.evidence >= 0 else "speaks against"
    page.text(f"{word}: {row.words}{unit}", x, y + 0.65, size=10)
    middle, length = x + width / 2, row.share * width / 2
    positive = row.evidence >= 0
    page.rectangle(
        middle if positive else middle - length, y + 1, length, 0.28, FOR_COLOUR if positive else AGAINST_COLOUR
    )
    page.rectangle(middle - 0.005, y + 0.94, 0.01, 0.4, "#555555")
    notes = [line for note in row.notes for line in textwrap.wrap(note, _BESIDE_CHARACTERS)]
    page.text("\n".join(notes), x, y + 1.45, size=8, colour=AGAINST_COLOUR if row.careful else "#444444")


def _cut(owners: str) -> str:
    """Long class names would leave no room for the pictures."""
    return owners if len(owners) <= _OWNER_CHARACTERS else f"{owners[: _OWNER_CHARACTERS - 1]}…"
