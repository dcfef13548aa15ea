"""Which metrics can be measured of a model, and what a visitor asks to measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from protoexplain.errors import UserError
from protoexplain.metrics.base import Metric
from protoexplain.metrics.observe.plan import plan_passes
from protoexplain.metrics.registry import get_metric, list_metrics
from protoexplain.metrics.settings import MeasureSettings
from protoexplain_app.library import Choice, Library
from protoexplain_app.measurements import DEED, Measurement
from protoexplain_app.roles import Role
from protoexplain_app.tabs.metrics.groups import grouped

PER_CLASS: Final = (0, 10, 3)
"""Test images of each class that can be measured on; 0 takes all."""
MOST_FIELDS = 80


@dataclass(frozen=True)
class MetricOption:
    """A metric that can be measured, or why not.

    Args:
        name: Of the metric.
        title: For people.
        help: What it means and what is good.
        measured: Whether it was.
        forward_passes: Forward passes for each test image, about.
        lacks: What is missing to measure it; empty where nothing is.
        fix: What would provide that.
    """

    name: str
    title: str
    help: str
    measured: bool
    forward_passes: int
    lacks: str = ""
    fix: str = ""


@dataclass(frozen=True)
class MeasurementForm:
    """What can be measured.

    Args:
        groups: Question -> metrics.
        trouble: Why nothing can be measured, and what to do.
        missing: What the data lack, one sentence each.
        job: What was asked for last.
        refused: Why the visitor may not measure; empty who may.
    """

    groups: Mapping[str, tuple[MetricOption, ...]]
    trouble: tuple[str, str]
    missing: tuple[str, ...]
    job: Measurement
    refused: str = ""

    @property
    def measured(self) -> bool:
        """Whether anything was."""
        return any(option.measured for options in self.groups.values() for option in options)


@dataclass(frozen=True)
class MeasurementRequest:
    """Args: do: ``start`` or ``cancel``; names: of metrics; per_class: test images of each class, 0 for all."""

    do: str
    names: tuple[str, ...]
    per_class: int


def parse_request(query: str) -> MeasurementRequest:
    """From the fields of the form, which are not trusted."""
    try:
        pairs = parse_qsl(query[:4000], max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        return MeasurementRequest("", (), 0)
    known, fields = list_metrics(), dict(pairs)
    names = tuple(name for key, name in pairs if key == "metric" and name in known)
    per_class = next((count for count in PER_CLASS if str(count) == fields.get("images")), 0)
    return MeasurementRequest(fields.get("do", ""), names, per_class)


def measurement_form(library: Library, choice: Choice) -> MeasurementForm:
    """What can be measured of the chosen model.

    Raises:
        UserError: There is no such model.
    """
    checkpoint = library.checkpoint(choice)
    try:
        lacks = library.measurements.lacks(checkpoint)
        trouble = ("", "")
    except UserError as error:
        lacks, trouble = {}, (error.what, error.fix)
    measured = library.measurements.results(checkpoint)
    groups = {}
    for question, names in grouped(list_metrics()).items():
        offers = []
        for name in names:
            metric = get_metric(name)
            need = next((need for need in sorted(metric.needs) if need in lacks), None)
            what, fix = lacks[need] if need else ("", "")
            offers.append(
                MetricOption(name, metric.title, metric.help, name in measured, _forward_passes(metric), what, fix)
            )
        groups[question] = tuple(offers)
    missing = tuple(what for _, (what, _) in sorted(lacks.items()))
    refused = library.access.refusal(Role.MEASURE, DEED)
    return MeasurementForm(groups, trouble, missing, library.measurements.job(checkpoint), refused)


def _forward_passes(metric: Metric) -> int:
    return sum(one.cost for one in plan_passes(metric.passes, MeasureSettings()))
