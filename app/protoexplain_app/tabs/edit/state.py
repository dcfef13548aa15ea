"""Where a visitor of the tab 'Edit' is, and where a click leads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.editing.decisions import Decision, History
from protoexplain_app.links import Parameters, number
from protoexplain_app.roles import Role
from protoexplain_app.tabs.edit.actions import Query, parse_decision, parse_query
from protoexplain_app.tabs.edit.edits import Edits, new_place

TRYING = "correcting a model"
STEPS: Mapping[str, Callable[[History], History]] = {"undo": History.undo, "redo": History.redo}


@dataclass(frozen=True)
class EditState:
    """Where a visitor is.

    Args:
        model: Name of the checkpoint.
        histories: SHA-256 of weights -> what was decided about them.
        query: Which prototypes are shown.
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
    query: Query = field(default_factory=Query)
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

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of an address that bring a visitor back."""
        return {"class": self.query.label, "found": 1 if self.query.found else None, "prototype": self.prototype}

    def about(self, checkpoint: Checkpoint) -> History:
        return self.histories.get(checkpoint.weights_sha256, History())

    def with_history(self, checkpoint: Checkpoint, history: History) -> EditState:
        return replace(self, histories={**self.histories, checkpoint.weights_sha256: history}, saved="")

    def with_fields(self, parameters: Parameters) -> EditState:
        """Remember what was filled in, where the form says it."""
        if "reason" not in parameters and "note" not in parameters:
            return self
        return replace(
            self, reason=parameters.get("reason", ""), note=parameters.get("note", ""), who=parameters.get("who", "")
        )


def step(
    edits: Edits, root: Path, checkpoint: Checkpoint, now: EditState, parameters: Parameters, today: str
) -> EditState:
    """Do what a click asks for.

    Args:
        edits: Carries out decisions and saves checkpoints in the background.
        root: Folder of checkpoints.
        checkpoint: That is edited.
        now: Where the visitor is.
        parameters: Of the form; what they ask for is in `do`, `open` or `cell`, and nothing changes if it is unknown.
        today: Date and time of a decision.

    Raises:
        UserError: A decision that cannot be made, a name under which nothing can be saved, or who asks may not do it.
    """
    history, prototype = now.about(checkpoint), number(parameters, "prototype")
    if "open" in parameters:
        edits.prepare(checkpoint)
        return replace(now, prototype=number(parameters, "open"), place=None, note="")
    if prototype is not None and ("cell" in parameters or parameters.get("do") in ("remove", "reproject")):
        edits.access.require(Role.MEASURE, TRYING)
        decision = parse_decision(edits.preview(checkpoint), parameters, prototype, now.who, today)
        decided = now.with_history(checkpoint, history.decide(decision))
        return replace(decided, prototype=None, place=None, note="")
    match parameters.get("do"):
        case "filter":
            return replace(now, query=parse_query(parameters))
        case "close":
            return replace(now, prototype=None, place=None)
        case "board":
            return replace(now, place=number(parameters, "place"))
        case "withdraw" if prototype is not None:
            return now.with_history(checkpoint, history.withdraw(prototype))
        case "undo" | "redo" as direction:
            return now.with_history(checkpoint, STEPS[direction](history))
        case "refit" if history.now:
            edits.request_report(checkpoint, history.now)
        case "save" if history.now:
            place = new_place(root, parameters.get("name", ""))
            edits.save(checkpoint, history.now, place)
            return replace(now, saving=place.name, to_save=history.now, saved="")
    return now
