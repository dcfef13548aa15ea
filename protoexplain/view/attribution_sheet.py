"""One picture of all attributions of a number, the best fit first, with the table of their errors."""

from __future__ import annotations

import io
import math

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from protoexplain.explanations.attribution.attribute import Attributions
from protoexplain.explanations.attribution.methods import METHODS
from protoexplain.explanations.overlays import RGB, attribution_overlay
from protoexplain.view.sentences import about_fit

_COLUMNS = 4


def attribution_sheet(found: Attributions, picture: RGB, title: str) -> bytes:
    """Draw the sheet.

    Args:
        found: Of one picture and one number.
        picture: What the model saw, uint8 [S,S,3].
        title: What the number is.

    Returns:
        PNG.
    """
    order, table, sentences = by_fit(found), error_table(found), about_fit(found)
    tiles = [("what the model saw", picture)]
    tiles += [(caption(found, name), attribution_overlay(picture, found.maps[name])) for name in order]
    rows = math.ceil(len(tiles) / _COLUMNS)
    text = [*sentences, "", *table, "", "Heat: brighter matters more.  Blue raises the number, orange lowers it."]
    below = 0.2 * len(text) + 0.1
    figure = Figure(figsize=(12.0, 0.7 + 3.1 * rows + below), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=13, x=0.01, ha="left", parse_math=False)
    grid = figure.add_gridspec(rows + 1, _COLUMNS, height_ratios=[3.1] * rows + [below])
    for place, (name, tile) in enumerate(tiles):
        axis = figure.add_subplot(grid[place // _COLUMNS, place % _COLUMNS])
        axis.axis("off")
        axis.set_title(name, fontsize=10)
        axis.imshow(tile)
    axis = figure.add_subplot(grid[rows, :])
    axis.axis("off")
    axis.text(0, 1, "\n".join(text), va="top", fontsize=9, family="monospace", linespacing=1.3, parse_math=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def by_fit(found: Attributions) -> list[str]:
    """Methods by their error on the first neighbourhood, those without one last."""
    errors = next(iter(found.errors.values()), {})
    return sorted(found.maps, key=lambda name: error if (error := errors.get(name)) is not None else math.inf)


def caption(found: Attributions, name: str) -> str:
    """Title of a method and its error on the first neighbourhood, or how much a receptive field covers."""
    if name == "receptive-field":
        return f"{METHODS[name].title}: {float(found.maps[name].heat.mean()):.0%} of the picture"
    neighbourhood, errors = next(iter(found.errors.items()), ("", {}))
    error = errors.get(name)
    best = ", best fit" if found.recommended.get(neighbourhood) == name else ""
    return METHODS[name].title + ("" if error is None else f": fit error {_short(error)}{best}")


def error_table(found: Attributions) -> list[str]:
    """Lines of equal letters: a row for each method with a linear fit, a column for each neighbourhood."""
    fitted = [name for name in by_fit(found) if any(name in errors for errors in found.errors.values())]
    if not fitted:
        return []
    width = max(len("fit error"), *(len(METHODS[name].title) for name in fitted))
    columns = list(found.errors)
    lines = [" ".join(["fit error".ljust(width), *(name.rjust(11) for name in columns)])]
    for name in fitted:
        cells = [_short(found.errors[column].get(name)).rjust(11) for column in columns]
        lines.append(" ".join([METHODS[name].title.ljust(width), *cells]))
    return lines


def _short(error: float | None) -> str:
    if error is None:
        return "-"
    return f"{error:.2f}" if error < 100 else "> 99"
