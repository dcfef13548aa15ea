"""Consistency score: does a prototype look at the same part of the object in all images?

Huang et al. 2023, "Evaluation and Improvement of Interpretability for Self-Explainable Part-Prototype Networks".
A part is hit if it lies in the window around the peak of the prototype's upsampled similarity map; f_jk is the share
of the images showing part k in which prototype j hits it, and j is consistent if max_k f_jk reaches the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field
from torch import Tensor

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import mean, over_prototypes
from protoexplain.metrics.stats.part_hits import (
    PartTable,
    averaged,
    baseline_peaks,
    curve,
    half_windows,
    hit_counts,
    nan_without_images,
    published_parts,
    reaches,
    visible_counts,
)

_THRESHOLDS = tuple(round(0.1 * i, 1) for i in range(1, 11))


class ConsistencySettings(MetricSettings):
    """Of the consistency score."""

    threshold: float = Field(0.8, ge=0, le=1)
    """Least share of images in which the part is hit."""


def part_frequency(hit: Tensor, visible: Tensor) -> Tensor:
    """f [P,T] in [0, 1] from the images that hit and that show each part; 0 for parts never shown."""
    return hit.double() / visible.clamp_min(1)


def compute(observed: Observations, settings: ConsistencySettings) -> Score:
    """100 times the share of consistent prototypes."""
    parts, windows = published_parts(observed), half_windows(observed)
    return consistency_score(observed, parts, windows, observed.half_window, settings.threshold)


def consistency_score(
    observed: Observations, parts: PartTable, windows: Sequence[int], chosen: int, threshold: float
) -> Score:
    """100 times the share of prototypes that hit one of the parts often enough.

    Args:
        observed: Of the model.
        parts: That count.
        windows: Half windows of the curve, ascending, in the pixels of the parts' distances.
        chosen: That of the score, one of them.
        threshold: Least share of images in which the part is hit.
    """
    visible = visible_counts(observed, parts)

    def consistent(half_window: float, threshold: float, hit: Tensor) -> Tensor:
        flags = reaches(hit[:, :, windows.index(int(half_window))], visible, threshold)
        return 100 * nan_without_images(observed, flags)

    def by_window(half_window: float, hit: Tensor) -> float:
        return mean(consistent(half_window, threshold, hit))

    def by_threshold(threshold: float, hit: Tensor) -> float:
        return mean(consistent(chosen, threshold, hit))

    hit = hit_counts(observed, observed.peaks, windows, parts)
    baselines = {
        name: [[hit_counts(observed, peaks, windows, parts)] for (peaks,) in draws]
        for name, draws in baseline_peaks(observed).items()
    }
    return replace(
        over_prototypes(observed, consistent(chosen, threshold, hit)),
        baselines=averaged(baselines, lambda table: by_threshold(threshold, table)),
        curves=(
            curve("half window in pixels", windows, chosen, by_window, [hit], baselines),
            curve("threshold", _THRESHOLDS, threshold, by_threshold, [hit], baselines),
        ),
        details=_details(parts.names, hit[:, :, windows.index(chosen)], visible),
    )


def best_frequency(observed: Observations) -> Tensor:
    """float64 [P]: max_k f_jk, NaN where it cannot be measured."""
    hit = hit_counts(observed, observed.peaks, [observed.half_window])[:, :, 0]
    return nan_without_images(observed, part_frequency(hit, visible_counts(observed)).amax(1))


def _details(names: Sequence[str], hit: Tensor, visible: Tensor) -> dict[str, Any]:
    """The part-frequency table, and which part each prototype stands for: of equal shares the one hit more often."""
    frequency = part_frequency(hit, visible)
    best = hit.masked_fill(frequency < frequency.amax(1, keepdim=True), -1).argmax(1)
    return {
        "parts": list(names),
        "part_frequency": [[round(value, 4) for value in row] for row in frequency.tolist()],
        "part_images": visible.tolist(),
        "part_of_prototype": [
            names[part] if hit[prototype, part] else None for prototype, part in enumerate(best.tolist())
        ],
        "frequency_of_part": frequency.gather(1, best[:, None])[:, 0].tolist(),
    }


METRIC = Metric(
    title="Consistency",
    help="Share of prototypes that hit the same part of the object in nearly all images of their class that show it. "
    "High is good; compare it with the baselines, which know nothing of the image.",
    unit="%",
    higher_is_better=True,
    high=100,
    passes=frozenset({"peaks"}),
    needs=frozenset({"parts", "places"}),
    compute=compute,
    settings=ConsistencySettings,
)
