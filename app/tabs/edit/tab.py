"""The tab 'Edit': find prototypes that a model should not rely on, correct it, and save a new checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import gradio as gr

from app.jobs import Job, JobState
from app.library import Choice, Library
from app.links import Words, number, parse
from app.tab import Tab
from app.tabs.edit import actions
from app.tabs.edit import view as views
from app.tabs.edit.actions import Wish, read_wish
from app.tabs.edit.edits import PreviewJob
from app.widgets import QUIET, form, guarded
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.editing.decisions import Decision, History
from protoexplain.editing.save import EditResult
from protoexplain.errors import UserError

ASKS_EVERY = 0.7
"""Seconds between looks at how far a refit is."""
STEPS: Mapping[str, Callable[[History], History]] = {"undo": History.undo, "redo": History.redo}


@dataclass(frozen=True)
class EditState:
    """Where a visitor is.

    Args:
        model: Name of the checkpoint.
        histories: SHA-256 of weights -> what was decided about them.
        wish: Which prototypes are shown.
        prototype: That is open.
        place: Training picture whose cells are shown.
        reason: As chosen last.
        note: As filled in.
        who: As filled in.
        saving: Name of the checkpoint that is being saved.
        to_save: Decisions that are carried out for it.
        saved: Name of the one that was.
        waiting: Whether an answer is due.
        offered: Whether patches were offered for the open prototype.
    """

    model: str = ""
    histories: Mapping[str, History] = field(default_factory=dict)
    wish: Wish = field(default_factory=Wish)
    prototype: int | None = None
    place: int | None = None
    reason: str = ""
    note: str = ""
    who: str = ""
    saving: str = ""
    to_save: tuple[Decision, ...] = ()
    saved: str = ""
    waiting: bool = False
    offered: bool = False

    def about(self, checkpoint: Checkpoint) -> History:
        return self.histories.get(checkpoint.weights_sha256, History())

    def with_history(self, checkpoint: Checkpoint, history: History) -> EditState:
        return replace(self, histories={**self.histories, checkpoint.weights_sha256: history}, saved="")


def build(library: Library, chosen: gr.State) -> None:
    """Lay out the tab and wire it."""
    edits = library.edits
    overview_area = form("edit-overview")
    with gr.Column(elem_id="edit-work"):
        one_area, shelf_area = form("edit-one"), form("edit-shelf")
    state, clock = gr.State(EditState()), gr.Timer(ASKS_EVERY, active=False)
    page = [state, overview_area, one_area, shelf_area, clock]

    def another_choice(choice: Choice, before: EditState) -> list[Any]:
        """A link, or another model; another picture changes nothing here."""
        words = choice.wish(TAB.name)
        if not words and choice.model == before.model:
            return [gr.skip()] * len(page)
        checkpoint = library.checkpoint(choice)
        now = replace(before, model=choice.model, prototype=number(words, "prototype"), place=None, saving="", saved="")
        now = replace(now, wish=read_wish(words) if words else Wish())
        if library.examples.images_of(checkpoint) is None:
            given = library.examples.folder is not None
            return [
                replace(now, waiting=False),
                views.without_data(checkpoint.data.name, given),
                "",
                "",
                gr.Timer(active=False),
            ]
        edits.request_preview(checkpoint)
        return shown(choice, now)

    def step(choice: Choice, now: EditState, event: gr.EventData) -> list[Any]:
        words = dict(parse(str(event.query)).words)
        checkpoint = library.checkpoint(choice)
        if library.examples.images_of(checkpoint) is None or now.model != choice.model:
            return [gr.skip()] * len(page)
        if "reason" in words or "note" in words:
            now = replace(now, reason=words.get("reason", ""), note=words.get("note", ""), who=words.get("who", ""))
        try:
            return shown(choice, stepped(checkpoint, now, words))
        except UserError as error:
            return shown(choice, now, error, in_one="prototype" in words)

    def stepped(checkpoint: Checkpoint, now: EditState, words: Words) -> EditState:
        history, prototype = now.about(checkpoint), number(words, "prototype")
        if "open" in words:
            edits.request_preview(checkpoint)
            return replace(now, prototype=number(words, "open"), place=None, note="")
        if prototype is not None and ("cell" in words or words.get("do") in ("remove", "reproject")):
            decision = actions.decided(edits.features(checkpoint), words, prototype, now.who, _today())
            decided = now.with_history(checkpoint, history.decide(decision))
            return replace(decided, prototype=None, place=None, note="")
        match words.get("do"):
            case "filter":
                return replace(now, wish=read_wish(words))
            case "close":
                return replace(now, prototype=None, place=None)
            case "board":
                return replace(now, place=number(words, "place"))
            case "withdraw" if prototype is not None:
                return now.with_history(checkpoint, history.withdraw(prototype))
            case "undo" | "redo" as direction:
                return now.with_history(checkpoint, STEPS[direction](history))
            case "refit" if history.now:
                edits.request_preview(checkpoint, history.now)
            case "save" if history.now:
                place = actions.new_place(library.store.root, words.get("name", ""))
                edits.save(checkpoint, history.now, place)
                return replace(now, saving=place.name, to_save=history.now, saved="")
        return now

    def look(choice: Choice, now: EditState) -> list[Any]:
        """Is it done?  Only what has changed is shown."""
        found = shown(choice, now)
        if now.offered or found[0].waiting:  # what is being filled in stays
            found[0], found[2] = replace(found[0], offered=now.offered), gr.skip()
        if found[0].waiting:
            found[3] = gr.skip()
        return found

    def saving_of(checkpoint: Checkpoint, now: EditState) -> Job[EditResult]:
        """The job that saves a new checkpoint, where there is one."""
        return edits.saving(checkpoint, now.to_save, library.store.root / now.saving) if now.saving else Job()

    def previews(checkpoint: Checkpoint, history: History) -> tuple[PreviewJob, PreviewJob]:
        """Of what is decided, and of the model as it is."""
        first = edits.preview(checkpoint, ())
        return (edits.preview(checkpoint, history.now) if history.now else first), first

    def shown(choice: Choice, now: EditState, trouble: UserError | None = None, in_one: bool = False) -> list[Any]:
        explainer = library.explainer(choice)
        checkpoint = explainer.checkpoint
        history = now.about(checkpoint)
        preview, first = previews(checkpoint, history)
        saving = saving_of(checkpoint, now)
        if now.saving and not saving.under_way:
            now = replace(now, saving="", saved=now.saving if saving.finished else "")
            trouble = trouble or saving.error
        current = preview.result or first.result
        jobs: tuple[Job[Any], ...] = (saving, preview, first)
        busy = next((job for job in jobs if job.under_way), first if preview.state == JobState.NEW else preview)
        waiting = busy.under_way
        words = {"class": now.wish.label, "found": 1 if now.wish.found else None, "prototype": now.prototype}
        owners = {r.index: checkpoint.owner_name(r.index) for r in checkpoint.prototypes}
        overview = views.overview(
            history,
            busy,
            preview.result,
            checkpoint.classes,
            owners,
            actions.renamed(library.examples, checkpoint, preview.result) if preview.result else (),
            words,
            file=actions.file_of(checkpoint, history.now),
            model=choice.model,
            name=actions.free_name(library.store.root, choice.model),
            saving=now.saving,
            saved=now.saved,
            trouble=None if in_one else trouble,
        )
        one = ""
        if now.prototype is not None:
            opened = actions.opened(checkpoint, edits.features(checkpoint), history, current, now.prototype, now.place)
            one = views.one(opened, now.reason, now.note, now.who, trouble if in_one else None)
        tiles = actions.shelf(explainer, history, current, now.wish)
        shelf = views.shelf(
            tiles, len(checkpoint.prototypes), now.wish, checkpoint.classes, first.finished, now.prototype
        )
        offered = bool(one) and edits.features(checkpoint) is not None
        return [replace(now, waiting=waiting, offered=offered), overview, one, shelf, gr.Timer(active=waiting)]

    def failed(message: str) -> list[Any]:
        return [gr.skip(), message, "", "", gr.Timer(active=False)]

    options = {**QUIET, "trigger_mode": "multiple", "concurrency_id": "edit", "concurrency_limit": 1}
    chosen.change(guarded(another_choice, failed), [chosen, state], page, **options)
    for area in (overview_area, one_area, shelf_area):
        area.wish(guarded(step, failed), [chosen, state], page, **options)
    clock.tick(guarded(look, failed), [chosen, state], page, **{**options, "trigger_mode": "once"})


def _today() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


TAB = Tab("edit", "Edit", 40, build)
