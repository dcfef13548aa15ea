"""Models side by side: differences of scores with bootstrap intervals, paired wherever the units are the same.

Scores over images are paired on the same test images.  Scores over prototypes are paired prototype by prototype where
two models have the same ones (training patches in the same order), else class by class where prototypes belong to
classes; where all classes share them there is nothing to pair, and both models are drawn by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.metrics.base import MetricResult
from protoexplain.metrics.stats.bootstrap import LEVEL, Numbers, gap, grouped, interval, ratio, totals

Pairing = Literal["images", "prototypes", "classes", "unpaired", "none"]
_HOW: Mapping[Pairing, str] = {
    "images": "paired by image",
    "prototypes": "paired by prototype",
    "classes": "paired by class",
    "unpaired": "unpaired, since they have nothing in common to pair by",
    "none": "no interval",
}
_INCIDENTAL = ("input_size", "batch_size", "version", "prototypes_measured_on", "test_images", "images")
"""Settings whose difference is reported otherwise, or changes nothing."""


@dataclass(frozen=True)
class MeasuredModel:
    """A model and what was measured of it.

    Args:
        results: By metric.
        labels: Class of each prototype, -1 where it is shared.
        patches: What identifies each prototype: branch, image and cell of its training patch.
        classes: Names by label.
    """

    results: Mapping[str, MetricResult]
    labels: tuple[int, ...]
    patches: tuple[tuple[str, str | None, int, int], ...]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, checkpoint: Checkpoint, results: Mapping[str, MetricResult]) -> MeasuredModel:
        records = checkpoint.prototypes
        patches = tuple((record.branch, record.image_id, record.row, record.column) for record in records)
        return cls(results, tuple(record.label for record in records), patches, checkpoint.classes)

    def units(self) -> np.ndarray:
        """int [P]: the group of each prototype that is drawn anew: its class, or itself where it is shared."""
        labels = np.array(self.labels, dtype=int)
        return np.where(labels < 0, len(self.classes) + np.arange(len(labels)), labels)


@dataclass(frozen=True)
class Difference:
    """One score of two models.

    Args:
        metric: Its name.
        title: Of the metric.
        unit: Of the score.
        first: Name of a model.
        second: Name of the other.
        value: Score of the first minus that of the second.
        low: Lower end of the 95 % interval, None where there is none.
        high: Upper end.
        pairing: How units were paired.
        better: Name of the better model where the interval leaves 0 out and one direction is good.
        notes: Settings that differ.
    """

    metric: str
    title: str
    unit: str
    first: str
    second: str
    value: float
    low: float | None
    high: float | None
    pairing: Pairing
    better: str | None
    notes: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def sentence(self) -> str:
        """What the data say, in words."""
        if self.low is None or self.high is None:
            return f"{self.title}: {self.first} minus {self.second} is {self.value:.3g}, {_HOW[self.pairing]}."
        unit = " points" if self.unit == "%" else f" {self.unit}" if self.unit else ""
        amount = f"{self.value:+.3g}{unit} [{self.low:+.3g}, {self.high:+.3g}]"
        how = f"{amount}, {_HOW[self.pairing]}"
        if not self.differs:
            return f"{self.title}: no difference between {self.first} and {self.second} that these data show ({how})."
        word = "higher" if self.value > 0 else "lower"
        verdict = f"; {self.better} is better" if self.better else ""
        return f"{self.title}: {self.first} is {word} than {self.second} ({how}){verdict}."


def compare(models: Mapping[str, MeasuredModel], resamples: int = 2000, seed: int = 0) -> list[Difference]:
    """All pairs of models in all metrics that both have.

    Args:
        models: Name -> what was measured.
        resamples: Of the bootstrap.
        seed: Of its draws.
    """
    names = dict.fromkeys(name for model in models.values() for name in model.results)
    return [
        _difference(name, pair, (models[pair[0]], models[pair[1]]), resamples, seed)
        for name in names
        for pair in combinations(models, 2)
        if all(name in models[model].results for model in pair)
    ]


def summary(differences: Sequence[Difference]) -> str:
    """In plain words: what is different, what is not shown to be, and how far chance reaches."""
    if not differences:
        return "No metric was measured for two of the models."
    intervals = [difference for difference in differences if difference.low is not None]
    better: dict[str, list[str]] = {}
    unclear: dict[str, list[str]] = {}
    for found in intervals:
        if not found.differs:
            unclear.setdefault(f"{found.first} and {found.second}", []).append(_within_sentence(found.title))
        elif found.better:
            worse = found.second if found.better == found.first else found.first
            better.setdefault(f"{found.better} is better than {worse}", []).append(_within_sentence(found.title))
    lines = [f"{who} in {'; '.join(titles)}." for who, titles in better.items()]
    lines += [f"{who} are not shown to differ in {'; '.join(titles)}." for who, titles in unclear.items()]
    chance = (1 - LEVEL) * len(intervals)
    lines.append(
        f"Of {len(intervals)} intervals about {chance:.1f} would leave 0 out by chance alone. They are about these"
        " trained models; another run of the same method may differ."
    )
    return "\n".join(lines)


def _within_sentence(title: str) -> str:
    """A title with a small first letter, unless its first word is a name that has a capital inside."""
    first = title.split(maxsplit=1)[0]
    return title if first[1:] != first[1:].lower() else title[:1].lower() + title[1:]


def _difference(
    name: str, pair: tuple[str, str], models: tuple[MeasuredModel, MeasuredModel], resamples: int, seed: int
) -> Difference:
    first, second = (model.results[name] for model in models)
    pairing, ends = _interval(name, models, resamples, seed)
    low, high = ends or (None, None)
    value = first.score.value - second.score.value
    better = None
    if low is not None and high is not None and (low > 0 or high < 0) and first.higher_is_better is not None:
        better = pair[0] if (value > 0) == first.higher_is_better else pair[1]
    notes = tuple(
        f"{key} {first.settings.get(key)} and {second.settings.get(key)}"
        for key in sorted({*first.settings, *second.settings} - set(_INCIDENTAL))
        if first.settings.get(key) != second.settings.get(key)
    )
    return Difference(name, first.title, first.unit, *pair, value, low, high, pairing, better, notes)


def _interval(
    name: str, models: tuple[MeasuredModel, MeasuredModel], resamples: int, seed: int
) -> tuple[Pairing, tuple[float, float] | None]:
    first, second = (model.results[name].score for model in models)
    if first.per_image is not None and second.per_image is not None:
        units = [np.arange(len(score.per_image or ())) for score in (first, second)]
        values = [_numbers(score.per_image or ()) for score in (first, second)]
        same = _same_images(*(model.results[name] for model in models))
        pairing: Pairing = "images" if same else "unpaired"
    elif first.per_prototype is not None and second.per_prototype is not None:
        pairing, units = _prototype_units(*models)
        values = [_numbers(score.per_prototype or ()) for score in (first, second)]
    else:
        return "none", None
    if pairing == "unpaired":
        return pairing, _apart([grouped(v, u) for v, u in zip(values, units, strict=True)], resamples, seed)
    return pairing, interval(_joined(values, units), gap, resamples, seed)


def _prototype_units(first: MeasuredModel, second: MeasuredModel) -> tuple[Pairing, list[np.ndarray]]:
    """What is drawn anew for scores over prototypes: groups of the prototypes of each model."""
    units = [model.units() for model in (first, second)]
    if first.patches == second.patches and first.labels == second.labels and first.classes == second.classes:
        return "prototypes", units
    if first.classes == second.classes and -1 not in (*first.labels, *second.labels):
        return "classes", units
    return "unpaired", units


def _joined(values: Sequence[Numbers], units: Sequence[np.ndarray]) -> Numbers:
    """Rows (sum, count, sum, count) of the units of two models."""
    count = 1 + max(int(unit.max(initial=-1)) for unit in units)
    rows = np.zeros((count, 4))
    for start, numbers, unit in zip((0, 2), values, units, strict=True):
        known = np.isfinite(numbers)
        np.add.at(rows[:, start], unit[known], numbers[known])
        np.add.at(rows[:, start + 1], unit[known], 1)
    return rows[rows[:, [1, 3]].any(1)]


def _apart(rows: Sequence[Numbers], resamples: int, seed: int) -> tuple[float, float] | None:
    """The interval of the difference where each model is drawn by itself."""
    if min(map(len, rows)) < 2:
        return None
    scores = [ratio(totals(row, resamples, seed + number)) for number, row in enumerate(rows)]
    low, high = np.quantile(scores[0] - scores[1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _same_images(first: MetricResult, second: MetricResult) -> bool:
    return first.settings.get("images") is not None and first.settings["images"] == second.settings.get("images")


def _numbers(values: Sequence[float | None]) -> Numbers:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
