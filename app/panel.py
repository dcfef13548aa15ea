"""The panel that all tabs share: which checkpoint, which picture; and the way in, by a link or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from app.actions.panel import Arrival, arrive, facts, listing
from app.address import Address, parse
from app.desk import Desk
from app.library import Choice, Library
from app.views import panel as views
from app.widgets import QUIET, html, telling, upload_field

LOOKS_EVERY = 5.0
"""Seconds between looks at the folder of checkpoints."""
SHOWN_PICTURES = 36


@dataclass(frozen=True)
class Panel:
    """The widgets of the panel; `links` hears of links that are followed inside the page."""

    links: gr.HTML
    notices: gr.HTML
    model: gr.Dropdown
    facts: gr.HTML
    upload: gr.File
    pictures: gr.HTML
    seen: gr.State


def lay_out(follow_links: str) -> Panel:
    """The widgets.

    Args:
        follow_links: Script that turns clicks on links of the app into the event ``go``.
    """
    return Panel(
        links=html(elem_id="links", js_on_load=follow_links),
        notices=html(elem_id="notices"),
        model=gr.Dropdown(label="Model", choices=[], elem_id="model", interactive=True),
        facts=html(elem_id="facts"),
        upload=upload_field(label="Your picture (up to 8 MB)", height=150, elem_id="upload"),
        pictures=html(elem_id="pictures"),
        seen=gr.State(()),
    )


def wire(panel: Panel, library: Library, desk: Desk, strip: gr.Tabs, tabs: Sequence[str], demo: gr.Blocks) -> None:
    """Let links, the list of checkpoints and uploads change the choice."""
    shelf = [panel.notices, panel.model, panel.facts, panel.upload, panel.pictures, panel.seen]
    page = [*desk.outputs, strip, *shelf]

    def shown(arrival: Arrival, before: Choice | None) -> list[Any]:
        choice, here = arrival.choice, arrival.choice.asked.tab
        upload = gr.skip() if choice.upload else None
        notices = views.notices(arrival.notices)
        if not arrival.listed:
            empty = gr.Dropdown(choices=[], value=None)
            looks: list[Any] = [notices, empty, views.unusable(arrival.broken), upload, ""]
        else:
            found = library.store.listed(choice.model).checkpoint
            names = gr.Dropdown(choices=views.titles(arrival.listed), value=choice.model)
            pictures = views.pictures(library.examples.of(found)[:SHOWN_PICTURES], choice)
            looks = [notices, names, views.facts(facts(found), arrival.broken), upload, pictures]
        return [*desk.put(choice, here), gr.Tabs(selected=here), *looks, listing(arrival)]

    def go(query: str, before: Choice | None, here: str) -> list[Any]:
        return shown(arrive(library, parse(query), before, tabs, here), before)

    def opened(request: gr.Request) -> list[Any]:
        return go(str(request.query_params), None, "")

    def followed(before: Choice | None, here: str, event: gr.EventData) -> list[Any]:
        return go(str(event.query), before, here)

    @telling
    def another_model(name: str, before: Choice, here: str) -> list[Any]:
        library.store.listed(name)
        return shown(arrive(library, Address(model=name, tab=here), before, tabs, here), before)

    def a_picture(path: str | None, before: Choice, here: str) -> list[Any]:
        return desk.put(replace(before, upload=path or "", asked=Address(tab=here), visit=before.visit + 1), here)

    def look(before: Choice, here: str, seen: object) -> list[Any]:
        arrival = arrive(library, Address(tab=here), before, tabs, here)
        if listing(arrival) == seen:
            return [gr.skip()] * len(page)
        found = shown(arrival, before)
        if before.model == arrival.choice.model:
            found[: len(desk.outputs) + 1] = [gr.skip()] * (len(desk.outputs) + 1)
        return found

    where = [desk.choice, desk.here]
    demo.load(opened, None, page, **QUIET)
    panel.links.go(followed, where, page, **QUIET)
    panel.model.input(another_model, [panel.model, *where], page, **QUIET)
    panel.upload.upload(a_picture, [panel.upload, *where], desk.outputs, **QUIET)
    panel.upload.clear(a_picture, [panel.upload, *where], desk.outputs, **QUIET)
    gr.Timer(LOOKS_EVERY).tick(look, [*where, panel.seen], page, **QUIET)
