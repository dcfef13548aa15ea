"""The tab 'Report': choose what goes in, look at it, take it along as a web page, PDF or JSON."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from app.jobs import Job
from app.library import Choice, Library
from app.links import parse
from app.tab import Tab
from app.tabs.report import view as views
from app.tabs.report.actions import Wish, make, offered, read_form, read_wish
from app.tabs.report.reports import ReportFiles
from app.widgets import QUIET, form, guarded, html
from protoexplain.errors import UserError

ASKS_EVERY = 0.7
"""Seconds between looks at how far a report is."""
PREVIEW = ".html"
NOTHING_SAID = Wish()


@dataclass(frozen=True)
class ReportState:
    """Where a visitor is.

    Args:
        wish: What goes into the report.
        model: Name of the model.
        token: Of the report, empty where there is none.
        previewed: Token of the report that the preview shows; drawn once, so that its reader keeps the place.
    """

    wish: Wish = NOTHING_SAID
    model: str = ""
    token: str = ""
    previewed: str = ""


def build(library: Library, chosen: gr.State) -> None:
    """Lay out the tab and wire it."""
    wishes = form("report-wish")
    status = html(elem_id="report-status")
    preview = html(elem_id="report-preview")
    state = gr.State(ReportState())
    clock = gr.Timer(ASKS_EVERY, active=False)
    page = [state, wishes, status, preview, clock]

    def another_choice(choice: Choice, before: ReportState) -> list[Any]:
        """A link, another model, or another picture; a report stays until another model is chosen."""
        words = choice.wish(TAB.name)
        wish = read_wish(words) if words else before.wish
        now = replace(before, wish=wish) if before.model == choice.model else ReportState(wish, choice.model)
        asked = views.wishes(wish, library.subject(choice), offered(library, choice))
        return shown(now, asked)

    def another_wish(choice: Choice, before: ReportState, event: gr.EventData) -> list[Any]:
        """A tick is remembered; the button begins the report."""
        words = dict(parse(str(event.query)).words)
        now = replace(before, wish=read_form(words), model=choice.model)
        if words.get("do") == "make":
            now = replace(now, token=make(library, choice, now.wish))
        return shown(now, gr.skip())

    def look(now: ReportState) -> list[Any]:
        return shown(now, gr.skip())

    def shown(now: ReportState, asked: object) -> list[Any]:
        job = Job[ReportFiles]()
        if now.token:
            with suppress(UserError):  # made so long ago that it was removed
                job = library.reports.find(now.token)
        ready = now.token if job.result and PREVIEW in job.result.files else ""
        page = gr.skip() if ready == now.previewed else views.preview(ready)
        clock = gr.Timer(active=job.under_way)
        return [replace(now, previewed=ready), asked, views.status(now.wish, job), page, clock]

    def failed(message: str) -> list[Any]:
        return [gr.skip(), gr.skip(), message, gr.skip(), gr.Timer(active=False)]

    chosen.change(guarded(another_choice, failed), [chosen, state], page, **QUIET)
    one_by_one = {**QUIET, "concurrency_limit": 1}
    wishes.wish(guarded(another_wish, failed), [chosen, state], page, trigger_mode="multiple", **one_by_one)
    clock.tick(guarded(look, failed), [state], page, **QUIET)


TAB = Tab("report", "Report", 50, build)
