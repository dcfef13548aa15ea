"""The panel that all tabs share: which checkpoint, which picture; and the way in, by a link or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from app.library import Choice, Library
from app.links import Address, parse
from app.navigation import Desk
from app.panel import view as views
from app.panel.actions import Arrival, arrive, facts, frame_of, listing
from app.panel.example_query import Wish, read_wish, shelf
from app.uploads import uploaded
from app.widgets import QUIET, form, html, script, telling

LOOKS_EVERY, ASKS_EVERY = 5.0, 1.0
"""Seconds between looks at the folder of checkpoints, and at how far a survey is."""


@dataclass(frozen=True)
class Panel:
    """The widgets of the panel.

    Args:
        links: Hears of links that are followed inside the page.
        notices: What became of a link that names what is not here.
        model: The list of checkpoints.
        facts: About the chosen one.
        own: Takes pictures of the visitor.
        wishes: Which test pictures are shown.
        pictures: These.
        seen: State: the checkpoints that the list shows.
        wish: State: which test pictures are shown.
        survey: Ticks while a survey is under way.
    """

    links: gr.HTML
    notices: gr.HTML
    model: gr.Dropdown
    facts: gr.HTML
    own: gr.HTML
    wishes: gr.HTML
    pictures: gr.HTML
    seen: gr.State
    wish: gr.State
    survey: gr.Timer


def lay_out() -> Panel:
    """The widgets."""
    return Panel(
        links=html(elem_id="links", js_on_load=script("panel/links.js")),
        notices=html(elem_id="notices"),
        model=gr.Dropdown(label="Model", choices=[], elem_id="model", interactive=True),
        facts=html(elem_id="facts"),
        own=html(views.own(), elem_id="own", js_on_load=script("panel/upload.js", "panel/camera.js", "panel/frame.js")),
        wishes=form("picture-wish"),
        pictures=form("pictures"),
        seen=gr.State(()),
        wish=gr.State(Wish()),
        survey=gr.Timer(ASKS_EVERY, active=False),
    )


def wire(panel: Panel, library: Library, desk: Desk, strip: gr.Tabs, tabs: Sequence[str], demo: gr.Blocks) -> None:
    """Let links, the list of checkpoints and pictures change the choice."""
    lists = [panel.wishes, panel.pictures, panel.wish, panel.survey]
    page = [*desk.outputs, strip, panel.notices, panel.seen, panel.model, panel.facts, *lists]

    def shown(arrival: Arrival, before: Choice | None) -> list[Any]:
        """What an arrival changes in the page; what shows the same model stays as it is."""
        choice, here = arrival.choice, arrival.choice.asked.tab
        seen = listing(arrival)
        top = [*desk.put(choice, here), gr.Tabs(selected=here), views.notices(arrival.notices), seen]
        if not arrival.listed:
            return [
                *top,
                gr.Dropdown(choices=[], value=None),
                views.unusable(arrival.broken),
                "",
                "",
                Wish(),
                gr.skip(),
            ]
        names = gr.Dropdown(choices=views.titles(arrival.listed), value=choice.model)
        checkpoint = library.checkpoint(choice)
        view = library.examples.view(checkpoint)
        about = views.facts(facts(checkpoint, view.notices if view else ()), arrival.broken)
        if before is not None and before.model == choice.model:
            return [*top, names, about, *[gr.skip()] * len(lists)]
        return [*top, names, about, *listed(choice, Wish())]

    def listed(choice: Choice, wish: Wish) -> list[Any]:
        """The form of test pictures and the pictures."""
        classes = library.checkpoint(choice).classes
        return [views.picture_wishes(wish, classes, library.examples.folder is not None), *pictured(choice, wish)]

    def pictured(choice: Choice, wish: Wish) -> list[Any]:
        found = shelf(library, choice, wish)
        pictures = views.pictures(found, wish, choice.model, library.checkpoint(choice).classes)
        return [pictures, wish, gr.Timer(active=found.waiting and found.survey.under_way)]

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

    @telling
    def own_picture(before: Choice, here: str, event: gr.EventData) -> list[Any]:
        return desk.put(_changed(before, here, upload=str(uploaded(str(event.path))), frame=None), here)

    def no_picture(before: Choice, here: str) -> list[Any]:
        return desk.put(_changed(before, here, upload="", frame=None), here)

    @telling
    def another_frame(before: Choice, here: str, event: gr.EventData) -> list[Any]:
        edges = {name: getattr(event, name, None) for name in ("left", "top", "right", "bottom")}
        return desk.put(_changed(before, here, frame=frame_of(edges) if before.upload else None), here)

    @telling
    def another_wish(choice: Choice, event: gr.EventData) -> list[Any]:
        return pictured(choice, read_wish(dict(parse(str(event.query)).words)))

    @telling
    def look_at_survey(choice: Choice, wish: Wish) -> list[Any]:
        return pictured(choice, wish)

    def look(before: Choice | None, here: str, seen: object) -> list[Any]:
        arrival = arrive(library, Address(tab=here), before, tabs, here)
        if before is None or listing(arrival) == seen:
            return [gr.skip()] * len(page)
        found = shown(arrival, before)
        if before.model == arrival.choice.model:
            found[: len(desk.outputs) + 1] = [gr.skip()] * (len(desk.outputs) + 1)
        return found

    where = [desk.choice, desk.here]
    demo.load(opened, None, page, **QUIET)
    panel.links.go(followed, where, page, **QUIET)
    panel.model.input(another_model, [panel.model, *where], page, **QUIET)
    panel.own.picture(own_picture, where, desk.outputs, **QUIET)
    panel.own.removed(no_picture, where, desk.outputs, **QUIET)
    panel.own.region(another_frame, where, desk.outputs, trigger_mode="always_last", **QUIET)
    for widget in (panel.wishes, panel.pictures):
        widget.wish(
            another_wish,
            [desk.choice],
            [panel.pictures, panel.wish, panel.survey],
            trigger_mode="multiple",
            **{**QUIET, "concurrency_limit": 1},
        )
    panel.survey.tick(look_at_survey, [desk.choice, panel.wish], [panel.pictures, panel.wish, panel.survey], **QUIET)
    gr.Timer(LOOKS_EVERY).tick(look, [*where, panel.seen], page, **QUIET)


def _changed(before: Choice, here: str, **changes: Any) -> Choice:  # noqa: ANN401
    return replace(before, asked=Address(tab=here), visit=before.visit + 1, **changes)
