"""HTML of the tab 'Report'."""

from __future__ import annotations

from collections.abc import Sequence

from protoexplain.report.report import SECTIONS
from protoexplain_app.input_image import InputImage
from protoexplain_app.jobs import Job
from protoexplain_app.tabs.report.actions import Query
from protoexplain_app.tabs.report.reports import ReportFiles
from protoexplain_app.templating import page


def query_form(query: Query, image: InputImage, offered: Sequence[InputImage], refused: str = "") -> str:
    """What goes into the report, as a form; `refused` says why the visitor may not make one."""
    return page("tabs/report/query.html", query=query, image=image, offered=offered, sections=SECTIONS, refused=refused)


def status(query: Query, job: Job[ReportFiles]) -> str:
    """How far the report is; when it is made, its files."""
    return page("tabs/report/page.html", parameters=query.parameters, job=job)


def preview(token: str) -> str:
    """A report in a frame of its own, which runs no scripts; nothing without a token."""
    return page("tabs/report/preview.html", token=token) if token else ""
