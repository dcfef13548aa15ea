"""The tab 'What if': the picture is changed by sliders and brush, and the answer moves beside the original one.

The script sends every move of a slider and every stroke as a `Query`.  `what_if_view` changes the picture and lets the
model look again (one forward pass), and the page shows the classes and the prototypes that lost and gained.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from protoexplain_app.library import Choice, Library
from protoexplain_app.links import Parameters, number
from protoexplain_app.tab import Tab, TabEvents
from protoexplain_app.tabs.what_if import view as views
from protoexplain_app.tabs.what_if.actions import Query, WhatIfView, cropped_results, parse_query, what_if_view
from protoexplain_app.templating import loading
from protoexplain_app.widgets import ON_MODEL, html, script


def build(library: Library, chosen: gr.State) -> None:
    """Lay out the tab and wire it."""
    with gr.Column(elem_id="what-if"):
        original = html(elem_id="what-if-original")
        changed = html(elem_id="what-if-changed")
        scripts = script("tabs/what_if/script.js", "tabs/what_if/painting.js")
        controls = html(elem_id="what-if-controls", js_on_load=scripts)
        answer = html(loading("Looking at the picture…"), elem_id="what-if-answer")
        prototypes = html(elem_id="what-if-prototypes")
    state, results = gr.State(Query()), cropped_results()

    def on_choice(choice: Choice, before: Query, parameters: Parameters) -> list[Any]:
        """Another picture is asked the same question; what was painted belonged to the one before."""
        query = parse_query(parameters) if parameters else Query(before.strengths, use=before.use)
        shown = what_if_view(library.explainer(choice), results, library.input_image(choice), query)
        return [*answered(shown, query, choice), views.original(shown, query, choice.visit), views.controls(query)]

    def on_query(choice: Choice, before: Query, parameters: Parameters) -> list[Any]:
        query = parse_query(parameters)
        shown = what_if_view(library.explainer(choice), results, library.input_image(choice), query)
        return answered(shown, query, choice, number(parameters, "turn") or 0)

    def answered(shown: WhatIfView, query: Query, choice: Choice, turn: int = 0) -> list[Any]:
        return [query, views.changed(shown), views.answer(shown, query, turn), views.prototypes(shown, choice.model)]

    def on_error(message: str) -> list[Any]:
        return [gr.skip(), "", views.trouble(message), "", "", ""]

    after_a_change = [state, changed, answer, prototypes]
    events = TabEvents(TAB.name, chosen, state, [*after_a_change, original, controls], on_error, ON_MODEL)
    events.on_choice(on_choice)
    events.on_query(
        controls, on_query, outputs=after_a_change, on_error=lambda message: on_error(message)[: len(after_a_change)]
    )


TAB = Tab("what_if", "What if", 15, build, uses_picture=True)
