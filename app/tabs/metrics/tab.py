"""The tab 'Metrics': what was measured of a model, what it means, and what can be measured yet."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.library import Choice, Library
from app.links import parse
from app.panel.view import titles
from app.tab import Tab
from app.tabs.metrics import view as views
from app.tabs.metrics.actions import read_order, report, work
from app.templating import loading, refusal
from app.widgets import QUIET, form, guarded, html
from protoexplain.errors import UserError

ASKS_EVERY = 1.0
"""Seconds between looks at how far a measurement is."""
IN_TURN = {**QUIET, "concurrency_limit": 1}


def build(library: Library, chosen: gr.State) -> None:
    """Lay out the tab and wire it."""
    wishes = form("metrics-wish")
    shown = html(loading("Reading what was measured…"), elem_id="metrics-report")
    desk = form("metrics-work")
    state = gr.State(("", ""))
    """Names of the model that is shown and of the one that it is compared with."""
    clock = gr.Timer(ASKS_EVERY, active=False)
    page = [state, wishes, shown, desk, clock]

    def another_choice(choice: Choice, before: tuple[str, str]) -> list[Any]:
        """A link, or another model; another picture changes nothing here."""
        words = choice.wish(TAB.name)
        if not words and choice.model == before[0]:
            return [gr.skip()] * len(page)
        library.checkpoint(choice)
        return told(choice, words.get("with", before[1]))

    def another_wish(choice: Choice, event: gr.EventData) -> list[Any]:
        return told(choice, dict(parse(str(event.query)).words).get("with", ""))

    def order(choice: Choice, event: gr.EventData) -> list[Any]:
        asked, checkpoint = read_order(str(event.query)), library.checkpoint(choice)
        try:
            if asked.do == "cancel":
                library.measurements.cancel(checkpoint)
            elif asked.do == "start":
                library.measurements.start(checkpoint, asked.names, asked.per_class)
        except UserError as error:
            return [refusal(error) + views.work(work(library, choice)), gr.skip()]
        return [views.work(work(library, choice)), gr.Timer(active=True)]

    def look(choice: Choice, now: tuple[str, str]) -> list[Any]:
        """How far the measurement is; when it is over, what it found."""
        todo = work(library, choice)
        if todo.job.under_way:
            return [gr.skip(), gr.skip(), gr.skip(), views.work(todo), gr.skip()]
        library.store.scan()
        return told(choice, now[1])

    def told(choice: Choice, other: str) -> list[Any]:
        listed = titles(library.store.scan()[0])
        models = [entry for entry in listed if entry[1] != choice.model]
        other = other if other in [name for _, name in models] else ""
        found = report(library, choice, other, {name: title for title, name in listed})
        todo = work(library, choice)
        return [
            (choice.model, other),
            views.wishes(models, other),
            views.report(found, choice.model, other),
            views.work(todo),
            gr.Timer(active=todo.job.under_way),
        ]

    def failed(message: str) -> list[Any]:
        return [("", ""), "", message, "", gr.Timer(active=False)]

    chosen.change(guarded(another_choice, failed), [chosen, state], page, trigger_mode="multiple", **IN_TURN)
    wishes.wish(guarded(another_wish, failed), [chosen], page, trigger_mode="multiple", **IN_TURN)
    desk.wish(
        guarded(order, lambda message: [message, gr.skip()]),
        [chosen],
        [desk, clock],
        trigger_mode="multiple",
        **IN_TURN,
    )
    clock.tick(guarded(look, failed), [chosen, state], page, **IN_TURN)


TAB = Tab("metrics", "Metrics", 35, build)
