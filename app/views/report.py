"""HTML of the tab 'Report'."""

from __future__ import annotations

from collections.abc import Sequence

from app.actions.report import Wish
from app.examples import Subject
from app.reports import Job
from app.views.templating import page
from protoexplain.report.report import SECTIONS


def wishes(wish: Wish, subject: Subject, offered: Sequence[Subject]) -> str:
    """What goes into the report, as a form."""
    return page("report/wishes.html", wish=wish, subject=subject, offered=offered, sections=SECTIONS)


def status(wish: Wish, job: Job | None) -> str:
    """How far the report is; when it is made, its files."""
    return page("report/status.html", words=wish.words, job=job)


def preview(job: Job | None) -> str:
    """The report in a frame of its own, which runs no scripts."""
    return page("report/preview.html", job=job) if job else ""
