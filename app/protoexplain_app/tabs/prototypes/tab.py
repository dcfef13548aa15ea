"""The tab 'Prototypes': all of them to find, choose and sort, and a page for each.

The form of the gallery becomes a `Query`, and `gallery` chooses and sorts the tiles.  A click on a tile is a link with
`prototype=N`: the page then shows `prototype_details` instead, and offers to search all pictures for the nearest ones,
which a job does while a clock asks how far it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from protoexplain.explanations.explainer import Explainer
from protoexplain_app.dataset_jobs import DEED
from protoexplain_app.library import Choice, Library
from protoexplain_app.links import Parameters, number
from protoexplain_app.roles import Role
from protoexplain_app.tab import Tab, TabEvents, polling_timer
from protoexplain_app.tabs.prototypes import view as views
from protoexplain_app.tabs.prototypes.actions import gallery, orders, parse_query
from protoexplain_app.tabs.prototypes.details import prototype_details
from protoexplain_app.tabs.prototypes.nearest import nearest_images
from protoexplain_app.templating import loading
from protoexplain_app.widgets import form, html


@dataclass(frozen=True)
class PrototypesState:
    """Args: model: name of the one that is shown; prototype: number of the one whose page is open, None for none."""

    model: str = ""
    prototype: int | None = None


def build(library: Library, chosen: gr.State) -> None:
    """Lay out the tab and wire it."""
    one = html(elem_id="prototype-details")
    nearest, figures = form("nearest"), html(elem_id="prototype-figures")
    with gr.Column(elem_id="all-prototypes") as overview:
        query_form = form("prototype-query")
        tiles = html(loading("Loading the prototypes…"), elem_id="gallery")
    state, clock = gr.State(PrototypesState()), polling_timer()

    def on_choice(choice: Choice, before: PrototypesState, parameters: Parameters) -> list[Any]:
        explainer = library.explainer(choice)
        checkpoint = explainer.checkpoint
        metrics = library.measurements.metrics(checkpoint)
        query, asked = parse_query(parameters), number(parameters, "prototype")
        details, more, near = "", "", ["", gr.Timer(active=False)]
        if asked is not None:
            found = prototype_details(explainer, asked, library.examples.images_of(checkpoint), metrics)
            details, more = (of(found, choice.model, query) for of in (views.details, views.figures))
            near = search(explainer, choice, asked)
        return [
            PrototypesState(choice.model, asked),
            details,
            *near,
            more,
            gr.Column(visible=asked is None),
            views.query_form(query, checkpoint.classes, orders(explainer, metrics)),
            views.gallery(gallery(explainer, query, metrics), choice.model, query),
        ]

    def on_query(choice: Choice, now: PrototypesState, parameters: Parameters) -> list[Any]:
        query, explainer = parse_query(parameters), library.explainer(choice)
        metrics = library.measurements.metrics(explainer.checkpoint)
        return [views.gallery(gallery(explainer, query, metrics), choice.model, query)]

    def on_search(choice: Choice, now: PrototypesState, parameters: Parameters) -> list[Any]:
        library.neighbours.request(library.explainer(choice))
        return on_tick(choice, now)

    def on_tick(choice: Choice, now: PrototypesState) -> list[Any]:
        if now.prototype is None:
            return ["", gr.Timer(active=False)]
        return search(library.explainer(choice), choice, now.prototype)

    def search(explainer: Explainer, choice: Choice, prototype: int) -> list[Any]:
        """What is known of the nearest pictures, and whether to ask again."""
        found = library.neighbours.known(explainer.checkpoint)
        images = library.examples.images_of(explainer.checkpoint)
        splits = nearest_images(explainer, found, prototype, images)
        refused = library.access.refusal(Role.MEASURE, DEED)
        return [views.nearest(found, splits, choice.model, refused), gr.Timer(active=found.under_way)]

    def on_error(message: str) -> list[Any]:
        return [PrototypesState(), message, "", gr.Timer(active=False), "", gr.Column(visible=False), "", ""]

    outputs = [state, one, nearest, clock, figures, overview, query_form, tiles]
    events = TabEvents(TAB.name, chosen, state, outputs, on_error)
    near: dict[str, Any] = {
        "outputs": [nearest, clock],
        "on_error": lambda message: [message, gr.Timer(active=False)],
    }
    events.on_choice(on_choice, of_model=True)
    events.on_query(query_form, on_query, outputs=[tiles], on_error=lambda message: [message])
    events.on_query(nearest, on_search, **near)
    events.on_tick(clock, on_tick, **near)


TAB = Tab("prototypes", "Prototypes", 20, build)
