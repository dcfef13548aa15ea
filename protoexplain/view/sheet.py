"""The sheet "this part looks like that part": one picture by matplotlib that explains one class of one image."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from protoexplain.checkpoint.prototypes import Edges
from protoexplain.data.geometry import Box
from protoexplain.explanations.evidence.local import Explanation
from protoexplain.explanations.evidence.match import Match
from protoexplain.explanations.overlays import AGAINST_COLOUR, FOR_COLOUR, RGB, draw_box, match_heat
from protoexplain.view.explanation_view import ExplanationView, RowView
from protoexplain.view.pictures import Picture
from protoexplain.view.sentences import about_absence, about_pictures, about_score

_TITLE_CHARACTERS, _NOTE_CHARACTERS, _BESIDE_CHARACTERS, _HEADING_CHARACTERS = 120, 170, 52, 44
_WIDTH = 13.5 / 5.05
"""Inches of a column of width 1."""


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
        self._rgb, self._patch, self._source = rgb, patch, source
        self._heat = heat or (lambda match: match_heat(explanation, match, rgb))

    def whole(self, marks: Sequence[tuple[Edges, str]]) -> Picture:
        return self._keyed("whole", self._rgb)

    def part(self, match: Match, number: int) -> Picture:
        """The whole image with the box of the match."""
        return self._keyed(f"part/{number}", draw_box(self._rgb, Box(*match.box)))

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
) -> Figure:
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
    below = [textwrap.fill(line, _NOTE_CHARACTERS) for line in (*about_absence(view.shown), *view.sentences)]
    lines = sum(text.count("\n") + 1 for text in below)
    heights = [1.0] * len(rows) + ([0.09 * lines + 0.05] if below else []) or [1.0]
    widths = [1, 1, 0.8, 1, 1.25] + ([1.25] if any(row.here for row in rows) else [])
    figure = Figure(figsize=(_WIDTH * sum(widths), 1.35 + 2.15 * sum(heights)), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    title = textwrap.fill(_title(view, len(rows)), _TITLE_CHARACTERS)
    figure.suptitle(title, fontsize=13, x=0.01, ha="left", parse_math=False)
    grid = figure.add_gridspec(len(heights), len(widths), width_ratios=widths, height_ratios=heights)
    heads = titles or about_pictures(view.drawn)
    for place, row in enumerate(rows):
        cells = [figure.add_subplot(grid[place, column]) for column in range(len(widths))]
        for axis, picture, head in zip(cells, (row.part, row.heat, row.patch, row.source), heads, strict=False):
            _show(axis, arrays[picture.source] if picture else None, "" if place else head)
        _numbers(cells[4], row, "" if view.by_probability else " logit")
        if row.here:
            _rests_on(cells[5], row, "" if place else "what it rests on")
    if below:
        axis = figure.add_subplot(grid[len(heights) - 1, :])
        axis.axis("off")
        axis.text(0, 0.95, "\n".join(below), va="top", fontsize=10, linespacing=1.4, parse_math=False)
    return figure


def sheet(view: ExplanationView, arrays: Mapping[str, RGB], titles: tuple[str, str, str, str] | None = None) -> bytes:
    """As `draw_sheet`, written as PNG."""
    buffer = io.BytesIO()
    draw_sheet(view, arrays, titles).savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _title(view: ExplanationView, rows: int) -> str:
    total = view.total
    return (
        f"{view.name}: why {view.shown.name}?  probability {view.shown.probability:.1%},"
        f" {about_score(view.explanation.evidence)} {total.score:.2f}"
        f" = {total.found:.2f} from the {rows} strongest prototypes {total.score - total.found:+.2f} from the rest"
    )


def _show(axis: Axes, picture: RGB | None, title: str) -> None:
    axis.axis("off")
    axis.set_title(title, fontsize=10)
    if picture is None:
        axis.text(0.5, 0.5, "no picture", ha="center", va="center", fontsize=9, transform=axis.transAxes)
    else:
        axis.imshow(picture)


def _rests_on(axis: Axes, row: RowView, title: str) -> None:
    """Scores by size, and the sentence."""
    axis.axis("off")
    axis.set_title(title, fontsize=10)
    text = "\n".join([*row.scores, "", *textwrap.wrap(row.here, _BESIDE_CHARACTERS)])
    axis.text(0, 0.98, text, fontsize=8, va="top", linespacing=1.3, parse_math=False, transform=axis.transAxes)


def _numbers(axis: Axes, row: RowView, unit: str) -> None:
    axis.axis("off")
    axis.set_xlim(-1.05, 1.05)
    axis.set_ylim(0, 1)
    axis.text(-1.05, 0.86, _cut(row.title), fontsize=10, fontweight="bold", va="center", parse_math=False)
    axis.text(-1.05, 0.66, f"similarity {row.resemblance}", fontsize=10, va="center")
    word = "speaks for" if row.evidence >= 0 else "speaks against"
    axis.text(-1.05, 0.48, f"{word}: {row.words}{unit}", fontsize=10, va="center")
    signed = row.share if row.evidence >= 0 else -row.share
    axis.barh(0.25, signed, height=0.16, color=FOR_COLOUR if row.evidence >= 0 else AGAINST_COLOUR)
    axis.axvline(0, 0.14, 0.36, color="#555555", linewidth=1)
    if row.notes:
        text = "\n".join(textwrap.fill(note, _BESIDE_CHARACTERS) for note in row.notes)
        axis.text(-1.05, 0.1, text, fontsize=8, va="top", color=AGAINST_COLOUR if row.careful else "#444444")


def _cut(title: str) -> str:
    """A long class name would leave no room for the pictures."""
    return title if len(title) <= _HEADING_CHARACTERS else f"{title[: _HEADING_CHARACTERS - 1]}…"
