"""Pictures of results: a score beside its baselines, its curves, and the spread of its values.

One function serves one model and several side by side.  Colours are safe for colour-blind eyes (Okabe and Ito).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from protoexplain.metrics.base import Curve, MetricResult

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_GREY = "#777777"
_BINS = 20


def metric_figure(results: Mapping[str, MetricResult]) -> Figure:
    """Draw one metric.

    Args:
        results: Name of the model -> its result; not empty, all of the same metric.
    """
    first = next(iter(results.values()))
    curves = [curve.parameter for curve in first.score.curves]
    spread = {name: _values(result) for name, result in results.items()}
    panels = 1 + len(curves) + any(spread.values())
    figure = Figure(figsize=(4.2 * panels, 3.4 + 0.15 * len(results)), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(_axis_title(first), x=0.01, ha="left", fontsize=12, parse_math=False)
    axes: Sequence[Axes] = figure.subplots(1, panels, squeeze=False)[0]
    _scores(axes[0], results)
    for axis, parameter in zip(axes[1:], curves, strict=False):
        _curves(axis, parameter, results)
    if any(spread.values()):
        _spread(axes[-1], spread, first.score.over)
    for axis in axes[: 1 + len(curves)]:
        axis.grid(True, color="#dddddd", linewidth=0.6)
        axis.set_axisbelow(True)
    _legend(figure, axes[: 1 + len(curves)])
    return figure


def png(figure: Figure, dpi: int = 110) -> bytes:
    """The figure as a PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    return stream.getvalue()


def _scores(axis: Axes, results: Mapping[str, MetricResult]) -> None:
    """Values with intervals from top to bottom, and the baselines of each model beside them."""
    for row, result in enumerate(results.values()):
        score, colour = result.score, _colour(row)
        for number, (baseline, value) in enumerate(score.baselines.items()):
            label = baseline if row == 0 else None
            axis.plot(value, row, marker=_marker(number), color=_GREY, linestyle="none", label=label)
        if score.low is not None and score.high is not None:
            axis.plot([score.low, score.high], [row, row], color=colour, linewidth=2.5, solid_capstyle="butt")
        axis.plot(score.value, row, marker="o", color=colour, linestyle="none", markersize=7)
    axis.set_yticks(range(len(results)), list(results), parse_math=False)
    axis.set_ylim(len(results) - 0.4, -0.6)
    axis.set_xlabel("score, 95 % interval")


def _curves(axis: Axes, parameter: str, results: Mapping[str, MetricResult]) -> None:
    for row, (name, result) in enumerate(results.items()):
        curve = _named(result, parameter)
        if curve is None:
            continue
        axis.plot(curve.x, curve.y, color=_colour(row), marker="o", markersize=3, label=name)
        for number, (baseline, values) in enumerate(curve.baselines.items()):
            label = baseline if row == 0 else None
            axis.plot(curve.x, values, color=_GREY, marker=_marker(number), markersize=3, linewidth=0.8, label=label)
        if curve.chosen is not None and row == 0:
            axis.axvline(curve.chosen, color=_GREY, linewidth=0.8)
    axis.set_xlabel(parameter)
    if parameter == "epsilon":
        axis.set_xscale("log")


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One for the whole figure: baselines by their markers and lines, models by their colours."""
    entries = [entry for axis in axes for entry in zip(*axis.get_legend_handles_labels(), strict=True)]
    handles: dict[str, Artist] = {}
    for handle, label in entries:
        handles.setdefault(label, handle)
    if handles:
        legend = figure.legend(handles.values(), handles, loc="outside lower left", ncols=6, fontsize=8, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)


def _spread(axis: Axes, spread: Mapping[str, list[float]], units: str) -> None:
    every = [value for values in spread.values() for value in values]
    span = (min(every), max(every)) if min(every) < max(every) else (min(every) - 0.5, max(every) + 0.5)
    for row, values in enumerate(spread.values()):
        axis.hist(values, bins=_BINS, range=span, histtype="step", color=_colour(row), linewidth=1.6)
    axis.set_xlabel(f"value of single {units}")
    axis.set_ylabel(f"number of {units}")


def _values(result: MetricResult) -> list[float]:
    values = result.score.per_prototype if result.score.per_prototype is not None else result.score.per_image
    return [value for value in values or () if value is not None]


def _named(result: MetricResult, parameter: str) -> Curve | None:
    return next((curve for curve in result.score.curves if curve.parameter == parameter), None)


def _axis_title(result: MetricResult) -> str:
    direction = {True: ", higher is better", False: ", lower is better", None: ""}[result.higher_is_better]
    return f"{result.title}{f' ({result.unit})' if result.unit else ''}{direction}"


def _marker(baseline: int) -> str:
    return "sDv^"[baseline % 4]


def _colour(row: int) -> str:
    return _COLOURS[row % len(_COLOURS)]
