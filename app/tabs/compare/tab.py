"""The tab 'Compare': two pictures in one model, or one picture in two models, side by side."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.library import Choice, Library
from app.links import parse
from app.panel.view import titles
from app.tab import Tab
from app.tabs.compare import view as views
from app.tabs.compare.actions import MODELS, Wish, partner, read_wish, two_models, two_pictures
from app.templating import loading
from app.widgets import ON_MODEL, form, guarded, html
from protoexplain.errors import UserError


def build(library: Library, chosen: gr.State) -> None:
    """Lay out the tab and wire it."""
    wishes = form("compare-wish")
    answer = html(loading("Comparing…"), elem_id="comparison")
    wish = gr.State(Wish())

    def another_choice(choice: Choice, before: Wish) -> list[Any]:
        words = choice.wish(TAB.name)
        return compared(choice, read_wish(words) if words else before)

    def another_wish(choice: Choice, event: gr.EventData) -> list[Any]:
        return compared(choice, read_wish(dict(parse(str(event.query)).words)))

    def compared(choice: Choice, wish: Wish) -> list[Any]:
        models = [entry for entry in titles(library.store.scan()[0]) if entry[1] != choice.model]
        explainer, subject = library.explainer(choice), library.subject(choice)
        classes = explainer.checkpoint.classes
        if wish.how == MODELS:
            if not models:
                raise UserError(
                    "there is no other model to compare with", "", f"put a checkpoint into {library.store.root}"
                )
            other = wish.other if wish.other in [name for _, name in models] else models[0][1]
            named = {name: title for title, name in titles(library.store.scan()[0])}
            shown = two_models(explainer, library.store.explainer(other), (named[choice.model], named[other]), subject)
            return [wish, views.wishes(wish, models, other, classes), views.comparison(shown, choice, wish, other)]
        subjects = library.examples.of(explainer.checkpoint)
        second = next((s for s in subjects if s.key == wish.other), None) or partner(explainer, subject, subjects)
        if second is None:
            raise UserError("there is no other picture to compare with", "", "start the app with --data FOLDER")
        shown = two_pictures(explainer, subject, second)
        offered = [s for s in subjects if wish.label is None or s.truth == classes[wish.label]]
        return [
            wish,
            views.wishes(wish, models, second.key, classes, offered, choice.model),
            views.comparison(shown, choice, wish, second.key),
        ]

    def failed(message: str) -> list[Any]:
        return [gr.skip(), gr.skip(), message]

    page = [wish, wishes, answer]
    chosen.change(guarded(another_choice, failed), [chosen, wish], page, trigger_mode="multiple", **ON_MODEL)
    wishes.wish(guarded(another_wish, failed), [chosen], page, trigger_mode="always_last", **ON_MODEL)


TAB = Tab("compare", "Compare", 30, build)
