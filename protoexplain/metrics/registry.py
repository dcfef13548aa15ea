"""Metrics by file name: `scores/consistency.py` is the metric `consistency`."""

from __future__ import annotations

from protoexplain.metrics import scores
from protoexplain.metrics.base import Metric
from protoexplain.registry import Registry

METRICS = Registry[Metric](scores, "METRIC", "protoexplain.metrics", "metric", "metrics")


def list_metrics() -> list[str]:
    """Names of the metrics: the built-in ones, then those of installed packages.

    Example:
        >>> import protoexplain as px
        >>> {"accuracy", "consistency", "stability"} <= set(px.list_metrics())
        True
    """
    return METRICS.names()


def get_metric(name: str) -> Metric:
    """Import the one file of a metric.

    Args:
        name: As `list_metrics` gives it.

    Returns:
        What it means, its unit and range of values, what it needs, and how it is computed.

    Raises:
        UserError: No metric of that name; says which was probably meant.

    Example:
        >>> import protoexplain as px
        >>> metric = px.get_metric("accuracy")
        >>> metric.low, metric.high, metric.higher_is_better
        (0, 1, True)
    """
    return METRICS.find(name)
