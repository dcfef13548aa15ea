"""The tab 'Report': choose what goes in, look at it, take it along as a web page, PDF or JSON.

A tick in the form becomes a `Query`, which the address keeps.  The button begins a job that writes the files; a clock
asks how far it is, and as soon as the web page is written a frame shows it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from app.jobs import Job
from app.library import Choice, Library
from app.links import Parameters
from app.tab import Tab, TabEvents, polling_timer
from app.tabs.report import view as views
from app.tabs.report.actions import Query, make, offered, parse_query, read_form
from app.tabs.report.reports import ReportFiles
from app.widgets import form, html
from protoexplain.errors import UserError

PREVIEW = ".html"
WHOLE = Query()


@dataclass(frozen=True)
class ReportState:
    """Where a visitor is.

    Args:
        query: What goes into the report.
        model: Name of the model.
        token: Of the report, empty where there is none.
        previewed: Token of the report that the preview shows; drawn once, so that its reader keeps the place.
    """

    query: Query = WHOLE
    model: str = ""
    token: str = ""
    previewed: str = ""


def build(library: Library, chosen: gr.State) -> None:
    """Lay out the tab and wire it."""
    query_form = form("report-query")
    status = html(elem_id="report-status")
    preview = html(elem_id="report-preview")
    state, clock = gr.State(ReportState()), polling_timer()

    def on_choice(choice: Choice, before: ReportState, parameters: Parameters) -> list[Any]:
        """A report stays until another model is chosen."""
        query = parse_query(parameters) if parameters else before.query
        now = replace(before, query=query) if before.model == choice.model else ReportState(query, choice.model)
        return shown(now, views.query_form(query, library.input_image(choice), offered(library, choice)))

    def on_query(choice: Choice, before: ReportState, parameters: Parameters) -> list[Any]:
        """A tick is remembered; the button begins the report."""
        now = replace(before, query=read_form(parameters), model=choice.model)
        if parameters.get("do") == "make":
            now = replace(now, token=make(library, choice, now.query))
        return shown(now)

    def on_tick(choice: Choice, now: ReportState) -> list[Any]:
        return shown(now)

    def shown(now: ReportState, settings: Any = None) -> list[Any]:  # noqa: ANN401
        job = Job[ReportFiles]()
        if now.token:
            with suppress(UserError):  # made so long ago that it was removed
                job = library.reports.find(now.token)
        ready = now.token if job.result and PREVIEW in job.result.files else ""
        return [
            replace(now, previewed=ready),
            settings or gr.skip(),
            views.status(now.query, job),
            gr.skip() if ready == now.previewed else views.preview(ready),
            gr.Timer(active=job.under_way),
        ]

    def on_error(message: str) -> list[Any]:
        return [gr.skip(), gr.skip(), message, gr.skip(), gr.Timer(active=False)]

    events = TabEvents(TAB.name, chosen, state, [state, query_form, status, preview, clock], on_error)
    events.on_choice(on_choice)
    events.on_query(query_form, on_query)
    events.on_tick(clock, on_tick)


TAB = Tab("report", "Report", 50, build, uses_picture=True)
