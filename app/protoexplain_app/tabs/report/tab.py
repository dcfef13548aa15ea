"""The tab 'Report': choose what goes in, look at it, take it along as a web page, PDF or JSON.

A tick in the form becomes a `Query`, which the address keeps.  The button begins a job that writes the files; a clock
asks how far it is, and as soon as the web page is written a frame shows it.  The job goes on when the page is left;
the browser keeps the token of the last report of each model, so that a visitor who comes back finds it again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from protoexplain.errors import UserError
from protoexplain_app.jobs import Job
from protoexplain_app.library import Choice, Library
from protoexplain_app.links import Parameters
from protoexplain_app.roles import Role
from protoexplain_app.tab import Tab, TabEvents, polling_timer
from protoexplain_app.tabs.report import view as views
from protoexplain_app.tabs.report.actions import Query, make, offered, parse_query, read_form
from protoexplain_app.tabs.report.reports import DEED, ReportFiles
from protoexplain_app.widgets import form, html

PREVIEW = ".html"
WHOLE = Query()
MAX_TOKENS = 12
"""Models whose last report the browser remembers."""


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
    status = html(elem_id="report-status")
    preview = html(elem_id="report-preview")
    query_form = form("report-query")
    state, clock = gr.State(ReportState()), polling_timer()
    browser_state = gr.BrowserState({}, storage_key="protoexplain-reports")

    def on_choice(choice: Choice, before: ReportState, parameters: Parameters, known: object) -> list[Any]:
        """A report stays until another model is chosen; then the last one about that model is shown."""
        query = parse_query(parameters) if parameters else before.query
        now = replace(before, query=query)
        if before.model != choice.model:
            now = ReportState(query, choice.model, tokens(known).get(choice.model, ""))
        refused = library.access.refusal(Role.MEASURE, DEED)
        settings = views.query_form(query, library.input_image(choice), offered(library, choice), refused)
        return shown(now, report_of(now), settings)

    def on_query(choice: Choice, before: ReportState, parameters: Parameters, known: object) -> list[Any]:
        """A tick is remembered; the button begins the report."""
        now = replace(before, query=read_form(parameters), model=choice.model)
        if parameters.get("do") != "make" or report_of(now).under_way:
            return shown(now, report_of(now))
        now = replace(now, token=make(library, choice, now.query))
        latest = {**tokens(known), choice.model: now.token}
        return shown(now, report_of(now), latest_tokens=dict(list(latest.items())[-MAX_TOKENS:]))

    def on_browser_state(choice: Choice | None, before: ReportState, known: object) -> list[Any]:
        """The report of an earlier visit is found again."""
        token = tokens(known).get(choice.model, "") if choice is not None else ""
        if before.token or not token or choice is None or choice.model != before.model:
            return events.unchanged()
        now = replace(before, token=token)
        return shown(now, report_of(now))

    def on_tick(choice: Choice, now: ReportState, known: object) -> list[Any]:
        return shown(now, report_of(now))

    def report_of(now: ReportState) -> Job[ReportFiles]:
        """How far the report is; new where there is none, or where it was made so long ago that it was removed."""
        if now.token:
            with suppress(UserError):
                return library.reports.find(now.token)
        return Job[ReportFiles]()

    def shown(now: ReportState, job: Job[ReportFiles], settings: Any = None, latest_tokens: Any = None) -> list[Any]:  # noqa: ANN401
        ready = now.token if job.result and PREVIEW in job.result.files else ""
        return [
            replace(now, previewed=ready),
            settings or gr.skip(),
            views.status(now.query, job),
            gr.skip() if ready == now.previewed else views.preview(ready),
            gr.Timer(active=job.under_way),
            latest_tokens or gr.skip(),
        ]

    def on_error(message: str) -> list[Any]:
        return [gr.skip(), gr.skip(), message, gr.skip(), gr.Timer(active=False), gr.skip()]

    outputs = [state, query_form, status, preview, clock, browser_state]
    events = TabEvents(TAB.name, chosen, state, outputs, on_error, browser_state=browser_state)
    events.on_choice(on_choice)
    events.on_query(query_form, on_query)
    events.on_browser_state(on_browser_state)
    events.on_tick(clock, on_tick)


def tokens(known: object) -> dict[str, str]:
    """Model -> token of its last report, as a browser tells it, which is not trusted."""
    pairs = known.items() if isinstance(known, dict) else ()
    return {name: token for name, token in pairs if isinstance(name, str) and isinstance(token, str)}


TAB = Tab("report", "Report", 50, build, uses_picture=True)
