"""Pictures of explanations: heat maps, boxes, and the sheet "this part looks like that part".

Colours are safe for colour-blind eyes: `inferno` heat, yellow boxes with a dark rim.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from protoexplain.data.geometry import Box
from protoexplain.explain.attribution_methods import Attribution
from protoexplain.explain.honesty import Honesty
from protoexplain.explain.local import ClassExplanation, Explanation
from protoexplain.explain.match import Match, Statement
from protoexplain.explain.match_characteristics import MatchCharacteristics
from protoexplain.explain.words import about_absence, about_box, about_pictures, about_score

RGB = NDArray[np.uint8]
BOX_COLOUR, RIM_COLOUR = (255, 221, 51), (20, 20, 20)
FOR_COLOUR, AGAINST_COLOUR = "#1b6ca8", "#c2571a"
_TITLE_CHARACTERS, _NOTE_CHARACTERS, _BESIDE_CHARACTERS = 120, 170, 52
_WIDTH = 13.5 / 5.05
"""Inches of a column of width 1."""
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_CLIPPED = 99.5
"""Percentile of an attribution at which its colours end."""
PrototypeName = Callable[[Statement], str]


@lru_cache(maxsize=1)
def _heat_table() -> RGB:
    table: RGB = (colormaps["inferno"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    return table


def heat_level(heat: NDArray[np.float32], ends: tuple[float, float] | None = None) -> NDArray[np.float32]:
    """A heat map [H,W] in [0, 1].

    Args:
        heat: Of any unit.
        ends: What becomes 0 and 1; by default the map's own lowest and highest value, however weak that is.
    """
    low, high = ends or (float(heat.min()), float(heat.max()))
    return np.clip((heat - low) / (high - low), 0, 1) if high > low else np.zeros_like(heat)


def heat_overlay(
    rgb: RGB, heat: NDArray[np.float32], opacity: float = 0.75, ends: tuple[float, float] | None = None
) -> RGB:
    """Lay a heat map [H,W] over an image [H,W,3]; cold places stay visible, hot places are covered by `opacity`.

    `ends` are those of `heat_level`.
    """
    level = heat_level(heat, ends)
    colours = _heat_table()[(level * 255).astype(np.uint8)].astype(np.float32)
    alpha = (opacity * level)[..., None]
    return (rgb * (1 - alpha) + colours * alpha).round().astype(np.uint8)


def effect_overlay(rgb: RGB, heat: NDArray[np.float32], opacity: float = 0.8) -> RGB:
    """Lay signed effects [H,W] over an image [H,W,3] in pale grey: blue raises, orange lowers, zero is grey."""
    pale = (255 + 2 * (rgb @ _LUMINANCE))[..., None] / 3
    highest = float(np.percentile(np.abs(heat), _CLIPPED)) or float(np.abs(heat).max())
    level = np.clip(np.abs(heat) / highest, 0, 1) if highest > 0 else np.zeros_like(heat)
    colours = np.where((heat >= 0)[..., None], _rgb(FOR_COLOUR), _rgb(AGAINST_COLOUR))
    alpha = (opacity * level)[..., None]
    return (pale * (1 - alpha) + colours * alpha).round().astype(np.uint8)


def attribution_overlay(rgb: RGB, attribution: Attribution) -> RGB:
    """An attribution over the picture [S,S,3] that it is about; single pixels that outshine all others are clipped."""
    if attribution.signed:
        return effect_overlay(rgb, attribution.heat)
    return heat_overlay(rgb, np.minimum(attribution.heat, np.percentile(attribution.heat, _CLIPPED)))


def _rgb(colour: str) -> NDArray[np.float32]:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.float32)


def draw_box(rgb: RGB, box: Box, width: int | None = None) -> RGB:
    """A copy of the image with a box drawn inside its own edges; none where it would frame the whole image."""
    import cv2

    height, total = rgb.shape[:2]
    if tuple(map(round, box.as_list())) == (0, 0, total, height):
        return rgb.copy()
    line = width or max(1, round(min(height, total) / 110))
    corners = ((round(box.x0), round(box.y0)), (max(round(box.x1) - 1, 0), max(round(box.y1) - 1, 0)))
    drawn = np.ascontiguousarray(rgb.copy())
    cv2.rectangle(drawn, *corners, RIM_COLOUR, line + 2, cv2.LINE_AA)
    cv2.rectangle(drawn, *corners, BOX_COLOUR, line, cv2.LINE_AA)
    return drawn


def seen_region(explanation: Explanation, rgb: RGB) -> RGB:
    """The part of the image that the model saw."""
    crop = explanation.geometry.crop
    return rgb[int(crop.y0) : int(crop.y1), int(crop.x0) : int(crop.x1)]


def match_heat(explanation: Explanation, match: Match, rgb: RGB) -> RGB:
    """Heat map of a match over the region that the model saw."""
    region = seen_region(explanation, rgb)
    heat = explanation.heat(match.prototype, region.shape[1], region.shape[0])
    return heat_overlay(region, heat, ends=match.heat_range)


def png(rgb: RGB) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    return buffer.getvalue()


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
