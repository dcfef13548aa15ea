"""The tab 'Prototypes': all of them to find, choose and sort, and a page for each."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.library import Choice, Library
from app.links import number, parse
from app.tab import Tab
from app.tabs.prototypes import view as views
from app.tabs.prototypes.actions import gallery, orders, read_wish
from app.tabs.prototypes.drawn_nearest import nearby
from app.tabs.prototypes.prototype import portrait
from app.templating import loading
from app.widgets import QUIET, form, guarded, html
from protoexplain.explain.explainer import Explainer

ASKS_EVERY = 1.0
"""Seconds between looks at how far the search for the nearest pictures is."""
IN_TURN = {**QUIET, "concurrency_limit": 1, "trigger_mode": "multiple"}


def build(library: Library, chosen: gr.State) -> None:
    """Lay out the tab and wire it."""
    one = html(elem_id="portrait")
    near = form("nearby")
    with gr.Column(elem_id="shelf") as shelf:
        wishes = form("shelf-wish")
        tiles = html(loading("Loading the prototypes…"), elem_id="gallery")
    model, shown = gr.State(""), gr.State(None)
    """Name of the model that is shown, and number of the prototype whose page is open."""
    clock = gr.Timer(ASKS_EVERY, active=False)
    page = [model, shown, one, near, shelf, wishes, tiles, clock]

    def another_choice(choice: Choice, before: str) -> list[Any]:
        """A link, or another model; another picture changes nothing here."""
        words = choice.wish(TAB.name)
        if not words and choice.model == before:
            return [gr.skip()] * len(page)
        explainer = library.explainer(choice)
        metrics = library.measurements.metrics(explainer.checkpoint)
        wish, asked = read_wish(words), number(words, "prototype")
        person, nearest, clock = "", "", gr.Timer(active=False)
        if asked is not None:
            images = library.examples.images_of(explainer.checkpoint)
            person = views.portrait(portrait(explainer, asked, images, metrics), choice.model, wish)
            nearest, clock = close_by(explainer, choice, asked)
        return [
            choice.model,
            asked,
            person,
            nearest,
            gr.Column(visible=asked is None),
            views.wishes(wish, explainer.checkpoint.classes, orders(explainer, metrics)),
            views.gallery(gallery(explainer, wish, metrics), choice.model, wish),
            clock,
        ]

    def another_wish(choice: Choice, event: gr.EventData) -> str:
        wish, explainer = read_wish(dict(parse(str(event.query)).words)), library.explainer(choice)
        metrics = library.measurements.metrics(explainer.checkpoint)
        return views.gallery(gallery(explainer, wish, metrics), choice.model, wish)

    def search(choice: Choice, asked: int | None) -> list[Any]:
        explainer = library.explainer(choice)
        library.neighbours.request(explainer)
        return look(choice, asked)

    def look(choice: Choice, asked: int | None) -> list[Any]:
        return ["", gr.Timer(active=False)] if asked is None else close_by(library.explainer(choice), choice, asked)

    def close_by(explainer: Explainer, choice: Choice, asked: int) -> list[Any]:
        found = library.neighbours.known(explainer.checkpoint)
        splits = nearby(explainer, found, asked, library.examples.images_of(explainer.checkpoint))
        return [views.nearby(found, splits, choice.model), gr.Timer(active=found.under_way)]

    def failed(message: str) -> list[Any]:
        return ["", None, message, "", gr.Column(visible=False), "", "", gr.Timer(active=False)]

    def not_found(message: str) -> list[Any]:
        return [message, gr.Timer(active=False)]

    chosen.change(guarded(another_choice, failed), [chosen, model], page, **IN_TURN)
    wishes.wish(guarded(another_wish, lambda message: message), [chosen], [tiles], **IN_TURN)
    near.wish(guarded(search, not_found), [chosen, shown], [near, clock], **IN_TURN)
    clock.tick(guarded(look, not_found), [chosen, shown], [near, clock], **QUIET)


TAB = Tab("prototypes", "Prototypes", 20, build)
