"""Results as tables: for the terminal, as CSV and as LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from protoexplain.checkpoint.model_card import escaped
from protoexplain.metrics.base import MetricResult
from protoexplain.metrics.compare import Difference, summary
from protoexplain.metrics.stats.seeds import SEEDS

AGREEMENT = "agreement_with_"
_WIDTH = 200
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
_ARROWS = {True: "higher", False: "lower", None: ""}
_TEX_ARROWS = {True: r" $\uparrow$", False: r" $\downarrow$", None: ""}


def shown_number(value: float | None, unit: str = "") -> str:
    """One decimal for percent, three for shares and the like; ``-`` for what is not there."""
    if value is None or not math.isfinite(value):
        return "-"
    if unit == "%":
        return f"{value:.1f}"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"


def as_text(results: Mapping[str, MetricResult]) -> str:
    """A table with intervals and baselines, then what each metric means."""
    table = Table("metric", "value", "95 % interval", "baselines", "better", "over", "left out", box=box.SIMPLE_HEAD)
    for column in (1, 2):
        table.columns[column].justify = "right"
    for result in results.values():
        score, unit = result.score, result.unit
        table.add_row(
            f"{result.title} ({unit})" if unit else result.title,
            shown_number(score.value, unit),
            f"{shown_number(score.low, unit)} to {shown_number(score.high, unit)}" if score.low is not None else "-",
            ", ".join(f"{name} {shown_number(value, unit)}" for name, value in score.baselines.items()),
            _ARROWS[result.higher_is_better],
            f"{score.n_used} {score.over}",
            ", ".join(f"{count} {reason}" for reason, count in score.excluded.items()),
        )
    meanings = [f"{result.title}: {result.help}" for result in results.values()]
    return "\n".join([rendered(table), *meanings, *_agreements(results), *_warning(results)])


def _agreements(results: Mapping[str, MetricResult]) -> list[str]:
    """How far scores without parts agree with those with parts, where both could be had."""
    lines = []
    for result in results.values():
        for name, found in result.score.details.items():
            if name.startswith(AGREEMENT) and found and found["rank_correlation"] is not None:
                lines.append(
                    f"{result.title} and {name.removeprefix(AGREEMENT)} rank {found['prototypes']} prototypes alike:"
                    f" Spearman's correlation {found['rank_correlation']:.2f}"
                )
    return ["", *lines] if lines else []


def _warning(results: Mapping[str, MetricResult]) -> list[str]:
    """Which scores are no better than those of a model that ignores the image."""
    found = []
    for result in results.values():
        named = [f"{name} {shown_number(value, result.unit)}" for name, value in beaten_by(result).items()]
        if named:
            found.append(f"{result.title} ({', '.join(named)})")
    return ["", f"Not better than a baseline: {'; '.join(found)}."] if found else []


def beaten_by(result: MetricResult) -> dict[str, float]:
    """The baselines that a score does not exceed in the good direction, counting its interval."""
    score, sign = result.score, 1 if result.higher_is_better else -1
    if result.higher_is_better is None or not math.isfinite(score.value):
        return {}
    ends = (end for end in (score.low, score.high, score.value) if end is not None)
    worst = min(sign * end for end in ends)
    return {name: value for name, value in score.baselines.items() if worst <= sign * value}


def comparison_text(models: Mapping[str, Mapping[str, MetricResult]], differences: Sequence[Difference]) -> str:
    """A table of all models, then a sentence for each pair and metric, and what it comes to."""
    columns, rows = side_by_side(models)
    table = Table(*columns, box=box.SIMPLE_HEAD)
    for column in table.columns[1:-1]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    lines = []
    for difference in differences:
        lines.append(f"- {difference.sentence()}")
        if difference.notes:
            lines.append(f"  measured with other settings: {'; '.join(difference.notes)}")
    return "\n".join([rendered(table), *lines, "", summary(differences)])


def side_by_side(models: Mapping[str, Mapping[str, MetricResult]]) -> tuple[list[str], list[list[str]]]:
    """A row for each metric with values and intervals, followed by a row for each of its baselines.

    Results over several trainings show the deviation over these behind the value, before the interval.
    """
    rows = []
    for name in dict.fromkeys(name for results in models.values() for name in results):
        shown = [results.get(name) for results in models.values()]
        first = next(result for result in shown if result)
        title = f"{first.title} ({first.unit})" if first.unit else first.title
        rows.append([title, *map(_with_interval, shown), _ARROWS[first.higher_is_better]])
        for baseline in dict.fromkeys(baseline for result in shown if result for baseline in result.score.baselines):
            values = (result.score.baselines.get(baseline) if result else None for result in shown)
            rows.append([f"- {baseline}", *(shown_number(value, first.unit) for value in values), ""])
    return ["metric", *models, "better"], rows


def as_markdown(models: Mapping[str, Mapping[str, MetricResult]]) -> str:
    """`side_by_side` as a table in Markdown."""
    columns, rows = side_by_side(models)
    lines = [map(escaped, columns), ["---", *["---:"] * len(models), "---"], *(map(escaped, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def comparison_rows(
    models: Mapping[str, Mapping[str, MetricResult]], differences: Sequence[Difference]
) -> tuple[list[str], list[list[object]]]:
    """A row for each model and metric, then one for each difference, for CSV."""
    columns = ["metric", "unit", "model", "against", "value", "low", "high", "pairing", "better"]
    rows: list[list[object]] = [
        [name, result.unit, model, "", result.score.value, result.score.low, result.score.high, "", ""]
        for model, results in models.items()
        for name, result in results.items()
    ]
    for d in differences:
        rows.append([d.metric, d.unit, d.first, d.second, d.value, d.low, d.high, d.pairing, d.better or ""])
    return columns, rows


def _with_interval(result: MetricResult | None) -> str:
    if result is None:
        return "-"
    value = shown_number(result.score.value, result.unit)
    if SEEDS in result.score.details:
        value += f" ± {shown_number(result.score.details[SEEDS]['deviation'], result.unit)}"
    if result.score.low is None:
        return value
    low, high = (shown_number(end, result.unit) for end in (result.score.low, result.score.high))
    return f"{value} [{low}, {high}]"


def rendered(table: Table) -> str:
    """A table as plain text."""
    stream = io.StringIO()
    Console(file=stream, width=_WIDTH, highlight=False, markup=False, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()).strip("\n") + "\n"


def as_csv(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Comma-separated; text that a spreadsheet would take for a formula gets an apostrophe, numbers never."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([_cell(column) for column in columns])
    writer.writerows([_cell(value) for value in row] for row in rows)
    return stream.getvalue()


def _cell(value: object) -> object:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def result_rows(results: Mapping[str, MetricResult]) -> tuple[list[str], list[list[object]]]:
    """Columns and rows with all numbers, for CSV."""
    names = list(dict.fromkeys(name for result in results.values() for name in result.score.baselines))
    columns = ["metric", "title", "unit", "better", "value", "low", "high", "n_used", "left_out", *names]
    rows: list[list[object]] = []
    for name, result in results.items():
        score = result.score
        left_out = "; ".join(f"{count} {reason}" for reason, count in score.excluded.items())
        numbers = [score.value, score.low, score.high, score.n_used]
        described = [name, result.title, result.unit, _ARROWS[result.higher_is_better]]
        rows.append([*described, *numbers, left_out, *(score.baselines.get(baseline) for baseline in names)])
    return columns, rows


def as_latex(models: Mapping[str, Mapping[str, MetricResult]]) -> str:
    """A booktabs table: a row per metric, a column per model, intervals below the values' size.

    Args:
        models: Name of the model -> its results.
    """
    names = list(dict.fromkeys(name for results in models.values() for name in results))
    lines = [
        r"\begin{tabular}{l" + "r" * len(models) + "}",
        r"\toprule",
        " & ".join(["", *map(escaped_tex, models)]) + r" \\",
        r"\midrule",
    ]
    for name in names:
        first = next(results[name] for results in models.values() if name in results)
        unit = f" ({escaped_tex(first.unit)})" if first.unit else ""
        cells = [_tex_cell(results.get(name)) for results in models.values()]
        title = escaped_tex(first.title) + unit + _TEX_ARROWS[first.higher_is_better]
        lines.append(" & ".join([title, *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _tex_cell(result: MetricResult | None) -> str:
    if result is None:
        return "--"
    value, _, ends = _with_interval(result).partition(" ")
    return f"{value} {{\\scriptsize {ends}}}" if ends else value


def escaped_tex(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(_TEX.get(sign, sign) for sign in " ".join(text.split()))
