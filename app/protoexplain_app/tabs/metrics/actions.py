"""What was measured of a model, in groups that each answer a question."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.errors import UserError
from protoexplain.metrics.base import MetricResult
from protoexplain.metrics.compare import Difference, MeasuredModel, compare, summary
from protoexplain.metrics.registry import get_metric
from protoexplain.metrics.tables import as_csv, as_latex, beaten_by, comparison_rows, result_rows
from protoexplain_app.library import Choice, Library
from protoexplain_app.tabs.metrics.groups import grouped
from protoexplain_app.tabs.metrics.lights import Light, lights, verdict
from protoexplain_app.tabs.metrics.plots import Plot, Spread, plot_of, spread_of

EXTREMES = 3


@dataclass(frozen=True)
class MetricView:
    """A metric that was measured.

    Args:
        result: What it says.
        other: The same of the model that it is compared with, None where there is none.
        difference: Between both.
        beaten: Baselines, which know nothing, that it is not better than, and their scores.
        gauge: Where the value and its interval lie on the scale, in percent.
        marks: Where baselines lie: name, percent.
        plots: Of its curves.
        spread: Of the values of single prototypes or images.
        best: Prototypes of the best values; empty where no direction is good.
        worst: Prototypes of the worst values.
    """

    result: MetricResult
    other: MetricResult | None
    difference: Difference | None
    beaten: Mapping[str, float]
    gauge: tuple[float, float, float]
    marks: tuple[tuple[str, float], ...]
    plots: tuple[Plot, ...]
    spread: Spread | None
    best: tuple[int, ...]
    worst: tuple[int, ...]


@dataclass(frozen=True)
class MetricsReport:
    """All that was measured of a model.

    Args:
        accuracy: Share of test images named rightly, as the training measured it; None where it did not.
        guessing: What guessing would reach.
        test_images: On which.
        projections: Accuracy on test images before and after each projection.
        findings: About all prototypes, from after the training.
        lights: What the measurements come to.
        verdict: The same in a sentence; empty where nothing was measured.
        groups: Question -> metrics that answer it.
        against: Title of the model that it is compared with, empty where there is none.
        summary: Of the comparison, one sentence each.
        csv: All numbers as a table.
        latex: The same for a paper.
    """

    accuracy: float | None
    guessing: float
    test_images: int
    projections: tuple[tuple[float, float], ...]
    findings: tuple[str, ...]
    lights: tuple[Light, ...]
    verdict: str
    groups: Mapping[str, tuple[MetricView, ...]]
    against: str
    summary: tuple[str, ...]
    csv: str
    latex: str


def report(library: Library, choice: Choice, other: str = "", titles: Mapping[str, str] | None = None) -> MetricsReport:
    """All that was measured of the chosen model.

    Args:
        library: All that can be chosen.
        choice: What is chosen.
        other: Name of a model to compare with; empty for none.
        titles: Of models, by name.

    Raises:
        UserError: There is no such model, or its measurements cannot be read.
    """
    checkpoint, named = library.checkpoint(choice), titles or {}
    results = library.measurements.results(checkpoint)
    models = {named.get(choice.model, choice.model): results}
    differences: list[Difference] = []
    others: Mapping[str, MetricResult] = {}
    if other:
        second = library.store.listed(other).checkpoint
        others = library.measurements.results(second)
        models[named.get(other, other)] = others
        measured = {
            title: MeasuredModel.of(of, found)
            for (title, found), of in zip(models.items(), (checkpoint, second), strict=True)
        }
        differences = compare(measured)
    by_metric = {difference.metric: difference for difference in differences}
    groups = {
        question: tuple(_entry(results[name], others.get(name), by_metric.get(name)) for name in names)
        for question, names in grouped(results).items()
    }
    rows = comparison_rows(models, differences) if other else result_rows(results)
    accuracy, shown = checkpoint.metrics.get("test_accuracy"), lights(results)
    return MetricsReport(
        accuracy=accuracy if isinstance(accuracy, float) else None,
        guessing=1 / len(checkpoint.classes),
        test_images=checkpoint.data.test_images,
        projections=tuple(_projections(checkpoint)),
        findings=checkpoint.findings,
        lights=shown,
        verdict=verdict(shown) if results else "",
        groups=groups,
        against=list(models)[1] if other else "",
        summary=tuple(summary(differences).splitlines()) if other else (),
        csv=as_csv(*rows),
        latex=as_latex(models),
    )


def _entry(result: MetricResult, other: MetricResult | None, difference: Difference | None) -> MetricView:
    score = result.score
    ends = [end for end in (score.low, score.high) if end is not None and math.isfinite(end)]
    low, high = _scale(result)
    least, most = min(ends, default=score.value), max(ends, default=score.value)
    marks = tuple((name, _percent(value, low, high)) for name, value in score.baselines.items())
    best, worst = _extremes(result)
    return MetricView(
        result=result,
        other=other,
        difference=difference,
        beaten=beaten_by(result),
        gauge=(_percent(least, low, high), _percent(score.value, low, high), _percent(most, low, high)),
        marks=marks,
        plots=tuple(plot_of(curve) for curve in score.curves),
        spread=spread_of(score),
        best=best,
        worst=worst,
    )


def _scale(result: MetricResult) -> tuple[float, float]:
    """Of the gauge: the range of the metric; where that is open, from 0 to a bit more than all that is shown."""
    try:
        metric = get_metric(result.name)
        low, high = metric.low, metric.high
    except UserError:
        low, high = -math.inf, math.inf
    score = result.score
    shown = [score.value, score.low, score.high, *score.baselines.values()]
    known = [value for value in shown if value is not None and math.isfinite(value)]
    if not math.isfinite(low) or low < min(known, default=0.0) < 0:
        low = min(0.0, 1.1 * min(known, default=0.0))
    if not math.isfinite(high):
        high = 1.1 * max(known, default=1.0)
    return low, high if high > low else low + 1


def _percent(value: float, low: float, high: float) -> float:
    return min(max(100 * (value - low) / (high - low), 0.0), 100.0) if math.isfinite(value) else 0.0


def _extremes(result: MetricResult) -> tuple[tuple[int, ...], tuple[int, ...]]:
    values = [(value, i) for i, value in enumerate(result.score.per_prototype or ()) if value is not None]
    if result.higher_is_better is None or len({value for value, _ in values}) < 2:
        return (), ()
    sign = -1 if result.higher_is_better else 1
    order = [i for _, i in sorted((sign * value, i) for value, i in values)]
    return tuple(order[:EXTREMES]), tuple(order[: -EXTREMES - 1 : -1])


def _projections(checkpoint: Checkpoint) -> Iterator[tuple[float, float]]:
    table = checkpoint.metrics.get("projections")
    for row in table if isinstance(table, list) else []:
        before, after = (row.get("test_before"), row.get("test_after")) if isinstance(row, dict) else (None, None)
        if isinstance(before, float) and isinstance(after, float):
            yield before, after
