"""The tab 'What if': the picture is changed by sliders and brush, and the answer moves beside the original one."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.library import Choice, Library
from app.links import number, parse
from app.tab import Tab
from app.tabs.what_if import view as views
from app.tabs.what_if.actions import Memory, Outcome, Wish, outcome, read_wish
from app.templating import loading
from app.widgets import ON_MODEL, guarded, html, script


def build(library: Library, chosen: gr.State) -> None:
    """Lay out the tab and wire it."""
    with gr.Column(elem_id="what-if"):
        original = html(elem_id="what-if-original")
        changed = html(elem_id="what-if-changed")
        controls = html(
            elem_id="what-if-controls", js_on_load=script("tabs/what_if/script.js", "tabs/what_if/painting.js")
        )
        answer = html(loading("Looking at the picture…"), elem_id="what-if-answer")
        prototypes = html(elem_id="what-if-prototypes")
    state, memory = gr.State(Wish()), Memory()
    result = [state, changed, answer, prototypes]
    page = [*result, original, controls]

    def another_choice(choice: Choice, before: Wish) -> list[Any]:
        """Another picture is asked the same question; what was painted belonged to the one before."""
        words = choice.wish(TAB.name)
        wish = read_wish(words) if words else Wish(before.strengths, use=before.use)
        shown = outcome(library.explainer(choice), memory, library.subject(choice), wish)
        return [*told(shown, wish, choice), views.original(shown, wish), views.controls(wish)]

    def another_wish(choice: Choice, event: gr.EventData) -> list[Any]:
        words = dict(parse(str(event.query)).words)
        wish = read_wish(words)
        shown = outcome(library.explainer(choice), memory, library.subject(choice), wish)
        return told(shown, wish, choice, number(words, "turn") or 0)

    def told(shown: Outcome, wish: Wish, choice: Choice, turn: int = 0) -> list[Any]:
        return [wish, views.changed(shown), views.answer(shown, wish, turn), views.prototypes(shown, choice.model)]

    def failed(message: str) -> list[Any]:
        return [gr.skip(), "", message, ""]

    def nothing(message: str) -> list[Any]:
        return [*failed(message), "", ""]

    chosen.change(guarded(another_choice, nothing), [chosen, state], page, trigger_mode="multiple", **ON_MODEL)
    controls.wish(guarded(another_wish, failed), [chosen], result, trigger_mode="multiple", **ON_MODEL)


TAB = Tab("what_if", "What if", 15, build)
