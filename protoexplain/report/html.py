"""A report as one page of HTML that asks no other computer for anything; templates escape every name and text."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

from jinja2 import Environment
from markupsafe import Markup

from protoexplain.config import as_yaml
from protoexplain.report.report import Report
from protoexplain.report.sections import Measure
from protoexplain.report.wording import odds, printable, shortened
from protoexplain.view.numbers import amount, figure, percent
from protoexplain.view.templating import escaping

_FIRM = "\N{NO-BREAK SPACE}"


def render(report: Report) -> bytes:
    """UTF-8; no scripts, pictures inline."""
    return page(report).encode()


def page(report: Report) -> str:
    """The page as text that can be encoded, whatever bytes the names of files had."""
    environment = _environment()
    style, _, _ = environment.loader.get_source(environment, "report.css")  # type: ignore[union-attr]
    return printable(environment.get_template("report.html").render(report=report, style=Markup(style)))  # noqa: S704


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = escaping("protoexplain.report")
    environment.filters.update(
        percent=lambda share: percent(share).replace(" ", _FIRM),
        amount=lambda *given, **named: amount(*given, **named).replace(" ", _FIRM),
        odds=odds,
        shortened=shortened,
        day=_day,
        written=_written,
        place=_place,
        lines=as_yaml,
    )
    return environment


def _day(moment: str) -> str:
    """2026-11-24T10:58:37+00:00 -> 24 November 2026."""
    found = datetime.fromisoformat(moment)
    return f"{found.day} {found:%B %Y}"


def _written(value: float | None, measure: Measure) -> str:
    """A value of a metric with its unit; a dash for what is not there."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.1f}{_FIRM}%" if measure.unit == "%" else f"{figure(value)} {measure.unit}".strip()


def _place(value: float, measure: Measure) -> str:
    """Where a value lies between the least and the greatest possible one, in percent."""
    least, greatest = measure.least or 0.0, measure.greatest or 1.0
    return f"{100 * min(max((value - least) / (greatest - least), 0), 1):.2f}"
