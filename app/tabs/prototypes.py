"""The tab 'Prototypes': all of them to find, choose and sort, and a page for each."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.actions.portrait import portrait
from app.actions.prototypes import gallery, orders, read_wish
from app.address import number, parse
from app.library import Choice, Library
from app.tab import Tab
from app.views import prototypes as views
from app.views.templating import loading
from app.widgets import QUIET, form, guarded, html


def build(library: Library, chosen: gr.State) -> None:
    """Lay out the tab and wire it."""
    one = html(elem_id="portrait")
    with gr.Column(elem_id="shelf") as shelf:
        wishes = form("shelf-wish")
        tiles = html(loading("Loading the prototypes…"), elem_id="gallery")
    model = gr.State("")
    """Name of the model that is shown."""

    def another_choice(choice: Choice, before: str) -> list[Any]:
        """A link, or another model; another picture changes nothing here."""
        words = choice.wish(TAB.name)
        if not words and choice.model == before:
            return [gr.skip()] * 5
        explainer = library.explainer(choice)
        wish, asked = read_wish(words), number(words, "prototype")
        page = ""
        if asked is not None:
            images = library.examples.images_of(explainer.checkpoint)
            page = views.portrait(portrait(explainer, asked, images), choice.model, wish)
        return [
            choice.model,
            page,
            gr.Column(visible=asked is None),
            views.wishes(wish, explainer.checkpoint.classes, orders(explainer)),
            views.gallery(gallery(explainer, wish), choice.model, wish),
        ]

    def another_wish(choice: Choice, event: gr.EventData) -> str:
        wish = read_wish(dict(parse(str(event.query)).words))
        return views.gallery(gallery(library.explainer(choice), wish), choice.model, wish)

    def failed(message: str) -> list[Any]:
        return ["", message, gr.Column(visible=False), "", ""]

    chosen.change(guarded(another_choice, failed), [chosen, model], [model, one, shelf, wishes, tiles], **QUIET)
    wishes.wish(
        guarded(another_wish, lambda message: message),
        [chosen],
        [tiles],
        trigger_mode="multiple",
        **{**QUIET, "concurrency_limit": 1},
    )


TAB = Tab("prototypes", "Prototypes", 20, build)
