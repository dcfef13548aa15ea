"""What a checkpoint knows about its own quality: accuracy, interpretability metrics, characteristics, parts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.explanations.characteristics.table import Characteristics, known_characteristics
from protoexplain.explanations.characteristics.words import about_prototype, prototype_findings
from protoexplain.metrics.base import MetricResult
from protoexplain.metrics.cached_results import cached_results
from protoexplain.metrics.registry import get_metric, list_metrics
from protoexplain.metrics.stats.wilson import wilson
from protoexplain.metrics.tables import beaten_by
from protoexplain.report.sections import Accuracy, Measure, Rate
from protoexplain.report.wording import about_parts

SPLITS = ("train", "test")
"""Whose characteristics are told: of the training images, else of the test images."""
_BETTER = {True: "higher", False: "lower", None: ""}


def accuracy(checkpoint: Checkpoint) -> Accuracy:
    """How often the model is right, with intervals."""
    counts = {"test": checkpoint.data.test_images, "validation": checkpoint.data.validation_images}
    rates = []
    for name, images in counts.items():
        value = checkpoint.metrics.get(f"{name}_accuracy")
        if isinstance(value, float) and 0 <= value <= 1 and images > 0:
            rates.append(Rate(name, value, images, *interval(value, images)))
    return Accuracy(tuple(rates), 1 / len(checkpoint.classes))


def interval(share: float, images: int) -> tuple[float, float]:
    """95 % interval of a share of independent images (Wilson 1927)."""
    return wilson(round(share * images), images)


def measures(checkpoint: Checkpoint) -> tuple[Measure, ...]:
    """The metrics that were measured.

    Raises:
        UserError: The table is damaged.
    """
    installed = set(list_metrics())
    return tuple(_measure(result, result.name in installed) for result in cached_results(checkpoint).values())


def _measure(result: MetricResult, installed: bool) -> Measure:
    score = result.score
    known = get_metric(result.name) if installed else None
    return Measure(
        name=result.name,
        title=result.title,
        meaning=result.help,
        unit=result.unit,
        better=_BETTER[result.higher_is_better],
        value=_number(score.value),
        low=_number(score.low),
        high=_number(score.high),
        over=f"{score.n_used:,} {score.over}",
        baselines={name: _number(value) for name, value in score.baselines.items()},
        not_beaten=tuple(beaten_by(result)),
        least=_number(known.low) if known else None,
        greatest=_number(known.high) if known else None,
    )


def prototype_words(checkpoint: Checkpoint) -> list[tuple[str, ...]]:
    """For each prototype what was measured of it, in sentences.

    Raises:
        UserError: A table is damaged.
    """
    total = len(checkpoint.prototypes)
    parts, found = _parts(checkpoint.metrics, total), known_characteristics(checkpoint.metrics, total, SPLITS)
    return [tuple(sentence for sentence in (parts[index], _about(found, index)) if sentence) for index in range(total)]


def _about(found: Characteristics | None, prototype: int) -> str:
    if found is None or not prototype_findings(found, prototype):
        return ""
    return about_prototype(found, prototype, "it")


def _parts(metrics: Mapping[str, Any], total: int) -> list[str]:
    """The part of the object that each prototype hits most, by the consistency metric."""
    details: Any = metrics
    for key in ("interpretability", "consistency", "details"):
        details = details.get(key) if isinstance(details, Mapping) else None
    table = details if isinstance(details, Mapping) else {}
    names, shares = table.get("part_of_prototype"), table.get("frequency_of_part")
    if not isinstance(names, list) or not isinstance(shares, list) or not len(names) == len(shares) == total:
        return [""] * total
    return [
        about_parts(name if isinstance(name, str) else None, share) for name, share in zip(names, shares, strict=True)
    ]


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
