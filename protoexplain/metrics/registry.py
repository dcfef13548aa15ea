"""Metrics by file name: `scores/consistency.py` is the metric `consistency`."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points

from protoexplain.errors import UserError, nearest_name
from protoexplain.metrics import scores
from protoexplain.metrics.base import Metric

ENTRY_POINTS = "protoexplain.metrics"


def metric_names() -> list[str]:
    """Built-in metrics, then those of installed packages."""
    built_in = sorted(module.name for module in pkgutil.iter_modules(scores.__path__))
    return built_in + sorted(point.name for point in entry_points(group=ENTRY_POINTS))


def get_metric(name: str) -> Metric:
    """Import the one file of a metric.

    Raises:
        UserError: No metric of that name; says which was probably meant.
    """
    if name not in metric_names():
        raise UserError(f"unknown metric '{name}'", "metrics", nearest_name(name, metric_names()))
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == name:
            metric: Metric = point.load()
            return metric
    published: Metric = importlib.import_module(f"{scores.__name__}.{name}").METRIC
    return published
