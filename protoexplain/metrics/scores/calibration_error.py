"""Expected calibration error: does a confidence of 80 % mean right in 80 % of cases?  (Naeini et al. 2015.)"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from protoexplain.metrics.base import Curve, Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import interval_of

_BINS = (5, 10, 15, 20, 30)
"""Of the curve."""


class CalibrationSettings(MetricSettings):
    """Of the expected calibration error."""

    bins: int = Field(15, ge=1)
    """Equally wide bins of confidence."""


def bin_rows(confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int) -> NDArray[np.float64]:
    """[N,bins+1] for each image: confidence - correct in the place of its bin (open below), and a one to count."""
    edges = np.linspace(0, 1, bins + 1, dtype=np.float32)
    place = np.clip(np.searchsorted(edges, confidence.astype(np.float32), side="left") - 1, 0, bins - 1)
    rows = np.zeros((len(confidence), bins + 1))
    rows[np.arange(len(confidence)), place] = confidence - correct
    rows[:, -1] = 1
    return rows


def error_of(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over images of the gap between confidence and accuracy in their bin, from totals [R,bins+1] of rows."""
    gaps: NDArray[np.float64] = np.abs(totals[:, :-1]).sum(1) / totals[:, -1]
    return gaps


def compute(observed: Observations, settings: CalibrationSettings) -> Score:
    """Confidence is the largest probability; CBC has one for each class, which need not add up to one.

    The value of an image is its confidence - correctness, signed so that the values of a bin add up to its gap.
    A probability that rounding has put outside of [0, 1] is clipped: torchmetrics takes a table with any such number
    for one of logits.
    """
    from torchmetrics.functional.classification import multiclass_calibration_error

    probabilities = observed.probabilities.clamp(0, 1)
    confidence, predicted = probabilities.max(1)
    wrong = predicted != observed.labels

    def error(bins: int) -> float:
        return float(multiclass_calibration_error(probabilities, observed.labels, probabilities.shape[1], bins, "l1"))

    rows = bin_rows(confidence.double().numpy(), ~wrong.numpy(), settings.bins)
    towards = np.sign(rows[:, :-1].sum(0))
    x = sorted({*_BINS, settings.bins})
    return Score(
        error(settings.bins),
        *interval_of(observed, rows, error_of),
        n_used=len(observed.ids),
        over="images",
        per_image=tuple((rows[:, :-1] @ towards).tolist()),
        baselines={"always certain": float(wrong.double().mean())},
        curves=(Curve("bins", tuple(x), tuple(error(bins) for bins in x), settings.bins),),
        details={
            "mean_confidence": float(confidence.double().mean()),
            "mean_confidence_when_wrong": float(confidence[wrong].double().mean()) if wrong.any() else None,
        },
    )


METRIC = Metric(
    title="Calibration error",
    help="Mean gap between the confidence of predictions and how often they are right. Low is good; 0 means that "
    "probabilities can be taken at their word.",
    higher_is_better=False,
    passes=frozenset({"scores"}),
    compute=compute,
    settings=CalibrationSettings,
)
