"""The tab 'Compare': two pictures in one model, or one picture in two models, side by side.

A click in the form, or on another picture, becomes a `Query`.  `compared` lets the model look at both pictures, or both
models at the one picture, and the page draws the rows in which they differ most.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from protoexplain.errors import UserError
from protoexplain_app.examples import START_WITH_DATA
from protoexplain_app.library import Choice, Library
from protoexplain_app.links import Parameters
from protoexplain_app.tab import Tab, TabEvents
from protoexplain_app.tabs.compare import view as views
from protoexplain_app.tabs.compare.actions import (
    MODELS,
    Query,
    default_other_image,
    parse_query,
    two_models,
    two_pictures,
)
from protoexplain_app.templating import loading
from protoexplain_app.widgets import ON_MODEL, form, html


def build(library: Library, chosen: gr.State) -> None:
    """Lay out the tab and wire it."""
    query_form = form("compare-query")
    answer = html(loading("Comparing…"), elem_id="comparison")
    state = gr.State(Query())

    def on_choice(choice: Choice, before: Query, parameters: Parameters) -> list[Any]:
        return compared(choice, parse_query(parameters) if parameters else before)

    def on_query(choice: Choice, before: Query, parameters: Parameters) -> list[Any]:
        return compared(choice, parse_query(parameters))

    def compared(choice: Choice, query: Query) -> list[Any]:
        titles = library.store.titles()
        models = [(title, name) for name, title in titles.items() if name != choice.model]
        explainer, image = library.explainer(choice), library.input_image(choice)
        classes = explainer.checkpoint.classes
        if query.how == MODELS:
            if not models:
                fix = "whoever runs this page can add a second checkpoint to its folder"
                raise UserError("there is no other model to compare with", "", fix)
            other = query.other if query.other in dict(models).values() else models[0][1]
            named = titles[choice.model], titles[other]
            shown = two_models(explainer, library.store.explainer(other), named, image)
            return [
                query,
                views.query_form(query, models, other, classes),
                views.comparison(shown, choice, query, other),
            ]
        images = library.examples.of(explainer.checkpoint)
        second = next((image for image in images if image.key == query.other), None)
        second = second or default_other_image(explainer, image, images)
        if second is None:
            raise UserError("there is no other picture to compare with", "", START_WITH_DATA)
        shown = two_pictures(explainer, image, second)
        offered = [image for image in images if query.label is None or image.truth == classes[query.label]]
        return [
            query,
            views.query_form(query, models, second.key, classes, offered, choice.model),
            views.comparison(shown, choice, query, second.key),
        ]

    def on_error(message: str) -> list[Any]:
        return [gr.skip(), gr.skip(), message]

    events = TabEvents(TAB.name, chosen, state, [state, query_form, answer], on_error, ON_MODEL)
    events.on_choice(on_choice)
    events.on_query(query_form, on_query)


TAB = Tab("compare", "Compare", 30, build, uses_picture=True)
