"""The tab 'Edit': find prototypes that a model should not rely on, correct it, and save a new checkpoint.

What happens on a click: the three areas (overview, open prototype, gallery) are forms whose buttons send parameters, as
`do=remove&prototype=17`.  `on_click` gives them to `step` (state.py), which returns the next `EditState`: it opens a
prototype, adds a decision to the history of the checkpoint, or asks `Edits` (edits.py) for a job that carries the
decisions out and refits the head, or that saves the new checkpoint.  `shown` then draws all three areas from that state
and from what the jobs have found; while a job is under way a clock calls `on_tick`, which draws again only what has
changed, so that what is being filled in stays.  Nothing of the edited checkpoint is ever changed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr

from protoexplain.errors import UserError
from protoexplain_app.jobs import Job, JobState
from protoexplain_app.library import Choice, Library
from protoexplain_app.links import Parameters, number
from protoexplain_app.roles import Role
from protoexplain_app.tab import Tab, TabEvents, polling_timer
from protoexplain_app.tabs.edit import actions
from protoexplain_app.tabs.edit import view as views
from protoexplain_app.tabs.edit.actions import Query, parse_query
from protoexplain_app.tabs.edit.edits import SAVING, file_of, free_name
from protoexplain_app.tabs.edit.state import TRYING, EditState, step
from protoexplain_app.widgets import form, now_as_text


def build(library: Library, chosen: gr.State) -> None:
    """Lay out the tab and wire it."""
    edits, root = library.edits, library.store.root
    overview_area = form("edit-overview")
    with gr.Column(elem_id="edit-work"):
        one_area, gallery_area = form("edit-one"), form("edit-gallery")
    state, clock = gr.State(EditState()), polling_timer()

    def on_choice(choice: Choice, before: EditState, parameters: Parameters) -> list[Any]:
        checkpoint = library.checkpoint(choice)
        now = replace(
            before, model=choice.model, prototype=number(parameters, "prototype"), place=None, saving="", saved=""
        )
        now = replace(now, query=parse_query(parameters) if parameters else Query())
        if library.examples.images_of(checkpoint) is None:
            needed = views.without_data(checkpoint.data.name, library.examples.folder is not None)
            return [replace(now, waiting=False), needed, "", "", gr.Timer(active=False)]
        try:
            edits.prepare(checkpoint)
        except UserError as error:  # the queue is full
            return shown(choice, now, error)
        return shown(choice, now)

    def on_click(choice: Choice, now: EditState, parameters: Parameters) -> list[Any]:
        checkpoint = library.checkpoint(choice)
        if library.examples.images_of(checkpoint) is None or now.model != choice.model:
            return events.unchanged()
        now = now.with_fields(parameters)
        try:
            return shown(choice, step(edits, root, checkpoint, now, parameters, now_as_text()))
        except UserError as error:
            return shown(choice, now, error, in_one="prototype" in parameters)

    def on_tick(choice: Choice, now: EditState) -> list[Any]:
        """Is it done?  Only what has changed is shown."""
        found = shown(choice, now)
        if now.offered or found[0].waiting:  # what is being filled in stays
            found[0], found[2] = replace(found[0], offered=now.offered), gr.skip()
        if found[0].waiting:
            found[3] = gr.skip()
        return found

    def shown(choice: Choice, now: EditState, error: UserError | None = None, in_one: bool = False) -> list[Any]:
        """All areas; `in_one` shows an error beside the open prototype."""
        explainer = library.explainer(choice)
        checkpoint, history = explainer.checkpoint, now.about(explainer.checkpoint)
        first = edits.report(checkpoint, ())
        decided = edits.report(checkpoint, history.now) if history.now else first
        saving: Job[Any] = edits.saving(checkpoint, now.to_save, root / now.saving) if now.saving else Job()
        if now.saving and not saving.under_way:
            now = replace(now, saving="", saved=now.saving if saving.finished else "")
            error = error or saving.error
        report, preview = decided.result or first.result, edits.preview(checkpoint)
        jobs = (saving, decided, first)
        busy = next((job for job in jobs if job.under_way), first if decided.state == JobState.NEW else decided)
        changes = actions.changed_predictions(library.examples, checkpoint, decided.result) if decided.result else ()
        refused = edits.access.refusal(Role.MEASURE, TRYING)
        overview = views.overview(
            now,
            history,
            busy,
            decided.result,
            checkpoint.classes,
            {r.index: checkpoint.owner_name(r.index) for r in checkpoint.prototypes},
            changes,
            file=file_of(checkpoint, history.now),
            model=choice.model,
            name=free_name(root, choice.model),
            error=None if in_one else error,
            refused=refused,
            not_saved=edits.access.refusal(Role.EDIT, SAVING),
        )
        one = ""
        if now.prototype is not None:
            opened = actions.open_prototype(checkpoint, preview, history, report, now.prototype, now.place)
            one = views.one(opened, now.reason, now.note, now.who, error if in_one else None, refused)
        tiles = actions.gallery(explainer, history, report, now.query)
        total = len(checkpoint.prototypes)
        gallery = views.gallery(tiles, total, now.query, checkpoint.classes, first.finished, now.prototype)
        now = replace(now, waiting=busy.under_way, offered=bool(one) and preview is not None)
        return [now, overview, one, gallery, gr.Timer(active=busy.under_way)]

    def on_error(message: str) -> list[Any]:
        return [gr.skip(), message, "", "", gr.Timer(active=False)]

    events = TabEvents(TAB.name, chosen, state, [state, overview_area, one_area, gallery_area, clock], on_error)
    events.on_choice(on_choice, of_model=True)
    for area in (overview_area, one_area, gallery_area):
        events.on_query(area, on_click)
    events.on_tick(clock, on_tick)


TAB = Tab("edit", "Edit", 40, build)
