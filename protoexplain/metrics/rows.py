"""What was measured of a checkpoint: a row of plain values for each metric, to be shown anywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from protoexplain.io.checkpoint import Checkpoint
from protoexplain.metrics.base import MetricResult
from protoexplain.metrics.kept import kept_results
from protoexplain.metrics.tables import beaten_by, shown_number


@dataclass(frozen=True)
class MetricRow:
    """One metric of one model.

    Texts come from the checkpoint: whoever shows them escapes them.

    Args:
        name: Of the metric, as `protoexplain measure --metrics` takes it.
        title: For people.
        value: The score; None where nothing could be measured.
        low: Lower end of the 95 % interval; None where there is none.
        high: Upper end.
        unit: ``%``, ``prototypes`` and the like, or empty for a plain number.
        higher_is_better: None where neither is.
        baselines: Name -> the score of something that knows nothing; None where it is undefined.
        explanation: What the metric means and what is good.
        verdict: One sentence on this score beside its baselines; empty where no direction is good or none was measured.
        n_used: Prototypes or images that the score is over.
        over: Which of both.
        excluded: Reason -> how many were left out.
    """

    name: str
    title: str
    value: float | None
    low: float | None
    high: float | None
    unit: str
    higher_is_better: bool | None
    baselines: Mapping[str, float | None]
    explanation: str
    verdict: str
    n_used: int
    over: Literal["prototypes", "images"]
    excluded: Mapping[str, int]


def metric_rows(checkpoint: Path | Checkpoint) -> tuple[MetricRow, ...]:
    """The rows of all that `protoexplain measure` has added to a checkpoint; empty where nothing was measured.

    Args:
        checkpoint: Folder, or loaded.

    Raises:
        UserError: Unreadable.
    """
    loaded = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint.load(checkpoint)
    return tuple(metric_row(result) for result in kept_results(loaded).values())


def metric_row(result: MetricResult) -> MetricRow:
    """The row of one result."""
    score = result.score
    return MetricRow(
        name=result.name,
        title=result.title,
        value=_known(score.value),
        low=score.low,
        high=score.high,
        unit=result.unit,
        higher_is_better=result.higher_is_better,
        baselines={name: _known(value) for name, value in score.baselines.items()},
        explanation=result.help,
        verdict=_verdict(result),
        n_used=score.n_used,
        over=score.over,
        excluded=dict(score.excluded),
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _verdict(result: MetricResult) -> str:
    """Whether the score, with its whole interval, is better than each of its baselines."""
    known = {name: value for name, value in result.score.baselines.items() if math.isfinite(value)}
    if result.higher_is_better is None or not known or not math.isfinite(result.score.value):
        return ""
    beaten = beaten_by(result)
    told = ", ".join(f"{name} {shown_number(value, result.unit)}" for name, value in (beaten or known).items())
    if beaten:
        return f"Not shown to be better than a baseline ({told})."
    return f"Better than its baselines ({told})."
