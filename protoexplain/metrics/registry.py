"""Metrics by file name: `scores/consistency.py` is the metric `consistency`."""

from __future__ import annotations

from protoexplain.metrics import scores
from protoexplain.metrics.base import Metric
from protoexplain.registry import Registry

METRICS = Registry[Metric](scores, "METRIC", "protoexplain.metrics", "metric", "metrics")


def list_metrics() -> list[str]:
    """Built-in metrics, then those of installed packages."""
    return METRICS.names()


def get_metric(name: str) -> Metric:
    """Import the one file of a metric.

    Raises:
        UserError: No metric of that name; says which was probably meant.
    """
    return METRICS.find(name)
