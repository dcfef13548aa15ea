"""Pictures of explanations: heat maps, boxes, and the sheet "this part looks like that part".

Colours are safe for colour-blind eyes: `inferno` heat, yellow boxes with a dark rim.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Mapping, Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from protoexplain.data.geometry import Box
from protoexplain.explain.characteristics.match_characteristics import MatchCharacteristics
from protoexplain.explain.evidence.local import ClassExplanation, Explanation
from protoexplain.explain.evidence.match import Match, Statement
from protoexplain.explain.evidence.occlusion_test import Honesty
from protoexplain.explain.overlays import AGAINST_COLOUR, FOR_COLOUR, RGB, draw_box, match_heat
from protoexplain.view.sentences import about_absence, about_box, about_pictures, about_score

_TITLE_CHARACTERS, _NOTE_CHARACTERS, _BESIDE_CHARACTERS = 120, 170, 52
_WIDTH = 13.5 / 5.05
"""Inches of a column of width 1."""
PrototypeName = Callable[[Statement], str]


def sheet(
    explanation: Explanation,
    shown: ClassExplanation,
    rgb: RGB,
    patch: Callable[[int], RGB | None],
    source: Callable[[int], RGB | None],
    name: PrototypeName,
    rows: int = 5,
    *,
    heat: Callable[[Match], RGB] | None = None,
    titles: tuple[str, str, str, str] = about_pictures(drawn=False),
    tried: Mapping[int, Honesty] | None = None,
    notes: Sequence[str] = (),
) -> bytes:
    """One picture that explains one class of one image.

    Each row: the image with the box of the best place, the heat map, the prototype's patch, its source image with
    box, similarity and evidence, and what the match rests on where that was measured.  What spoke by absence follows
    below, and the notes.

    Args:
        explanation: Of the image.
        shown: The class.
        rgb: The image [H,W,3].
        patch: Prototype -> picture of its patch.
        source: Prototype -> its source picture with the box drawn.
        name: Match -> name of the prototype and its class.
        rows: At most so many prototypes; those without evidence are left out.
        heat: Match -> picture of its heat map; the similarity map over the seen region by default.
        titles: Above the images, heat maps, patches and source pictures.
        tried: Prototype -> what blanking its box did.
        notes: Sentences below all rows.

    Returns:
        PNG.
    """
    found = [match for match in shown.found[:rows] if match.presence]
    below = [textwrap.fill(line, _NOTE_CHARACTERS) for line in (*about_absence(shown), *notes)]
    lines = sum(text.count("\n") + 1 for text in below)
    heights = [1.0] * len(found) + ([0.09 * lines + 0.05] if below else []) or [1.0]
    widths = [1, 1, 0.8, 1, 1.25] + ([1.25] if any(match.characteristics for match in found) else [])
    figure = Figure(figsize=(_WIDTH * sum(widths), 1.35 + 2.15 * sum(heights)), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    title = textwrap.fill(_title(explanation, shown), _TITLE_CHARACTERS)
    figure.suptitle(title, fontsize=13, x=0.01, ha="left", parse_math=False)
    grid = figure.add_gridspec(len(heights), len(widths), width_ratios=widths, height_ratios=heights)
    longest = max((abs(match.presence) for match in found), default=1.0) or 1.0
    for row, match in enumerate(found):
        cells = [figure.add_subplot(grid[row, column]) for column in range(len(widths))]
        pictures = [
            draw_box(rgb, Box(*match.box)),
            heat(match) if heat else match_heat(explanation, match, rgb),
            patch(match.prototype),
            source(match.prototype),
        ]
        for axis, picture, title in zip(cells, pictures, titles, strict=False):
            _show(axis, picture, title if row == 0 else "")
        _numbers(cells[4], match, name(match), longest, explanation.unit, (tried or {}).get(match.prototype))
        if match.characteristics is not None:
            _rests_on(cells[5], match.characteristics, "what it rests on" if row == 0 else "")
    if below:
        axis = figure.add_subplot(grid[len(heights) - 1, :])
        axis.axis("off")
        axis.text(0, 0.95, "\n".join(below), va="top", fontsize=10, linespacing=1.4, parse_math=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _title(explanation: Explanation, shown: ClassExplanation) -> str:
    presence = [match.presence for match in shown.found if match.presence]
    return (
        f"{explanation.image}: why {shown.name}?  probability {shown.probability:.1%},"
        f" {about_score(explanation.evidence)} {shown.score:.2f}"
        f" = {sum(presence):.2f} from the {len(presence)} strongest prototypes"
        f" {shown.total() - sum(presence):+.2f} from the rest"
    )


def _show(axis: object, picture: RGB | None, title: str) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axis, Axes)
    axis.axis("off")
    axis.set_title(title, fontsize=10)
    if picture is None:
        axis.text(0.5, 0.5, "no picture", ha="center", va="center", fontsize=9, transform=axis.transAxes)
    else:
        axis.imshow(picture)


def _rests_on(axis: object, told: MatchCharacteristics, title: str) -> None:
    """Scores by size, and the sentence."""
    from matplotlib.axes import Axes

    assert isinstance(axis, Axes)
    axis.axis("off")
    axis.set_title(title, fontsize=10)
    scores = told.calibrated or told.published
    names = sorted(scores, key=lambda name: -scores[name])
    lines = [f"{name}  {scores[name]:+.2f}" for name in names]
    text = "\n".join([*lines, "", *textwrap.wrap(told.sentence, _BESIDE_CHARACTERS)])
    axis.text(0, 0.98, text, fontsize=8, va="top", linespacing=1.3, parse_math=False, transform=axis.transAxes)


def _numbers(axis: object, match: Match, name: str, longest: float, unit: str, tried: Honesty | None) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axis, Axes)
    axis.axis("off")
    axis.set_xlim(-1.05, 1.05)
    axis.set_ylim(0, 1)
    axis.text(-1.05, 0.86, name, fontsize=10, fontweight="bold", va="center", parse_math=False)
    usual = "" if match.usual is None else f", usually {match.usual:.2f}"
    axis.text(-1.05, 0.66, f"similarity {match.similarity:.2f}{usual}", fontsize=10, va="center")
    word = "speaks for" if match.presence >= 0 else "speaks against"
    axis.text(-1.05, 0.48, f"{word}: {match.presence:+.3f} {unit}", fontsize=10, va="center")
    colour = FOR_COLOUR if match.presence >= 0 else AGAINST_COLOUR
    axis.barh(0.25, match.presence / longest, height=0.16, color=colour)
    axis.axvline(0, 0.14, 0.36, color="#555555", linewidth=1)
    if tried is not None:
        told = [about_box(tried), *(f"but {warning}" for warning in tried.warnings)]
        text = "\n".join(textwrap.fill(line, _BESIDE_CHARACTERS) for line in told)
        axis.text(-1.05, 0.1, text, fontsize=8, va="top", color=AGAINST_COLOUR if tried.warnings else "#444444")
