"""The panel that all tabs share: which checkpoint, which picture; and the way in, by a link or none."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.errors import UserError
from protoexplain_app.dataset_jobs import DEED
from protoexplain_app.library import Choice, Library
from protoexplain_app.links import Address, form_parameters, parse
from protoexplain_app.models import titles
from protoexplain_app.navigation import NavigationState
from protoexplain_app.panel import view as views
from protoexplain_app.panel.actions import LinkTarget, facts, follow_link, frame_of, listing
from protoexplain_app.panel.offered_images import Query, offered_images, parse_query
from protoexplain_app.roles import Role
from protoexplain_app.uploads import uploaded
from protoexplain_app.widgets import ON_CHOICE, form, html, script, toast_errors

REFRESH_SECONDS, POLL_SECONDS = 5.0, 1.0
"""Between two looks at the folder of checkpoints, and at how far the predictions for all test pictures are."""


@dataclass(frozen=True)
class Panel:
    """The widgets of the panel.

    Args:
        links: Hears of links that are followed inside the page.
        notices: What became of a link that names what is not here.
        model: The list of checkpoints.
        facts: About the chosen one.
        own: Takes pictures of the visitor.
        query_form: Which test pictures are shown.
        pictures: These.
        listing_shown: State: the checkpoints that the list shows.
        query: State: which test pictures are shown.
        clock: Ticks while the model predicts all test pictures.
    """

    links: gr.HTML
    notices: gr.HTML
    model: gr.Dropdown
    facts: gr.HTML
    own: gr.HTML
    query_form: gr.HTML
    pictures: gr.HTML
    listing_shown: gr.State
    query: gr.State
    clock: gr.Timer


def lay_out(notices: gr.HTML) -> Panel:
    """The widgets; `notices` lies elsewhere in the page."""
    links = html(elem_id="links", js_on_load=script("panel/links.js"))
    model = gr.Dropdown(label="Model", choices=[], elem_id="model", interactive=True)
    about = html(elem_id="facts")
    scripts = script("panel/shrink.js", "panel/upload.js", "panel/camera.js", "panel/frame.js")
    with gr.Column(elem_id="picture-panel"):
        own = html(views.own(), elem_id="own", js_on_load=scripts)
        query_form, pictures = form("picture-query"), form("pictures")
    return Panel(
        links=links,
        notices=notices,
        model=model,
        facts=about,
        own=own,
        query_form=query_form,
        pictures=pictures,
        listing_shown=gr.State(()),
        query=gr.State(Query()),
        clock=gr.Timer(POLL_SECONDS, active=False),
    )


def wire(
    panel: Panel, library: Library, navigation: NavigationState, strip: gr.Tabs, tabs: Sequence[str], demo: gr.Blocks
) -> None:
    """Let links, the list of checkpoints and pictures change the choice."""
    lists = [panel.query_form, panel.pictures, panel.query, panel.clock]
    page = [*navigation.outputs, strip, panel.notices, panel.listing_shown, panel.model, panel.facts, *lists]

    def shown(target: LinkTarget, before: Choice | None) -> list[Any]:
        """What a link changes in the page; what shows the same model stays as it is."""
        choice, here = target.choice, target.choice.asked.tab
        listing_shown = listing(target)
        top = [*navigation.put(choice, here), gr.Tabs(selected=here), views.notices(target.notices), listing_shown]
        if not target.listed:
            return [
                *top,
                gr.Dropdown(choices=[], value=None),
                views.unusable(target.broken),
                "",
                "",
                Query(),
                gr.skip(),
            ]
        names = gr.Dropdown(choices=titles(target.listed), value=choice.model)
        checkpoint = library.checkpoint(choice)
        view = library.examples.view(checkpoint)
        about = views.facts(facts(checkpoint, view.notices if view else ()), target.broken)
        if before is not None and before.model == choice.model:
            return [*top, names, about, *[gr.skip()] * len(lists)]
        return [*top, names, about, *listed(choice, Query())]

    def listed(choice: Choice, query: Query) -> list[Any]:
        """The form of test pictures and the pictures."""
        checkpoint = library.checkpoint(choice)
        return [
            views.query_form(
                query, checkpoint.classes, library.examples.view(checkpoint), _unjudged(library, checkpoint)
            ),
            *pictured(choice, query),
        ]

    def pictured(choice: Choice, query: Query) -> list[Any]:
        found = offered_images(library, choice, query)
        pictures = views.pictures(found, query, choice.model, library.checkpoint(choice).classes)
        return [pictures, query, gr.Timer(active=found.waiting and found.predictions.under_way)]

    def on_load(request: gr.Request) -> list[Any]:
        return shown(follow_link(library, parse(str(request.query_params)), None, tabs), None)

    def on_link(before: Choice | None, here: str, event: gr.EventData) -> list[Any]:
        target = follow_link(library, parse(str(event.query)), before, tabs, here)
        with suppress(UserError):  # it was removed meanwhile; then the link alone counts
            if event.upload:
                target = replace(target, choice=replace(target.choice, upload=str(uploaded(str(event.upload)))))
        return shown(target, before)

    @toast_errors
    def on_model(name: str, before: Choice, here: str) -> list[Any]:
        library.store.listed(name)
        return shown(follow_link(library, Address(model=name, tab=here), before, tabs, here), before)

    @toast_errors
    def on_upload(before: Choice, here: str, event: gr.EventData) -> list[Any]:
        return navigation.put(_changed(before, here, upload=str(uploaded(str(event.path))), frame=None), here)

    def on_removed(before: Choice, here: str) -> list[Any]:
        return navigation.put(_changed(before, here, upload="", frame=None), here)

    @toast_errors
    def on_frame(before: Choice, here: str, event: gr.EventData) -> list[Any]:
        edges = {name: getattr(event, name, None) for name in ("left", "top", "right", "bottom")}
        return navigation.put(_changed(before, here, frame=frame_of(edges) if before.upload else None), here)

    @toast_errors
    def on_query(choice: Choice, event: gr.EventData) -> list[Any]:
        return pictured(choice, parse_query(form_parameters(str(event.query))))

    @toast_errors
    def on_tick(choice: Choice, query: Query) -> list[Any]:
        return pictured(choice, query)

    def on_refresh(before: Choice | None, here: str, listing_shown: object) -> list[Any]:
        target = follow_link(library, Address(tab=here), before, tabs, here)
        if before is None or listing(target) == listing_shown:
            return [gr.skip()] * len(page)
        found = shown(target, before)
        if before.model == target.choice.model:
            found[: len(navigation.outputs) + 1] = [gr.skip()] * (len(navigation.outputs) + 1)
        return found

    where = [navigation.choice, navigation.here]
    demo.load(on_load, None, page, **ON_CHOICE)
    panel.links.go(on_link, where, page, **ON_CHOICE)
    panel.model.input(on_model, [panel.model, *where], page, **ON_CHOICE)
    panel.own.picture(on_upload, where, navigation.outputs, **ON_CHOICE)
    panel.own.removed(on_removed, where, navigation.outputs, **ON_CHOICE)
    panel.own.region(on_frame, where, navigation.outputs, **ON_CHOICE)
    pictures = [panel.pictures, panel.query, panel.clock]
    for widget in (panel.query_form, panel.pictures):
        widget.query(on_query, [navigation.choice], pictures, **ON_CHOICE)
    once = {**ON_CHOICE, "trigger_mode": "once"}
    panel.clock.tick(on_tick, [navigation.choice, panel.query], pictures, **once)
    gr.Timer(REFRESH_SECONDS).tick(on_refresh, [*where, panel.listing_shown], page, **once)


def _unjudged(library: Library, checkpoint: Checkpoint) -> str:
    """Why the visitor cannot ask what the model says about all test pictures; empty where that is known or allowed."""
    if library.image_predictions.known(checkpoint).finished:
        return ""
    return library.access.refusal(Role.MEASURE, DEED)


def _changed(before: Choice, here: str, **changes: Any) -> Choice:  # noqa: ANN401
    return replace(before, asked=Address(tab=here), visit=before.visit + 1, **changes)
