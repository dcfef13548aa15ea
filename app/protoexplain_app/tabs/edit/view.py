"""HTML of the tab 'Edit'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from protoexplain.editing.decisions import LONGEST_NAME, LONGEST_NOTE, History, Reason
from protoexplain.editing.report import EditReport
from protoexplain.errors import UserError
from protoexplain_app.jobs import Job
from protoexplain_app.tabs.edit.actions import (
    REASONS,
    SHOWN_CHANGES,
    ChangedPrediction,
    MarkedTile,
    OpenPrototype,
    Query,
)
from protoexplain_app.tabs.edit.state import EditState
from protoexplain_app.templating import data_uri, page


def without_data(data: str, given: bool) -> str:
    """What the app has to be started with.

    Args:
        data: Name of the data set of the model.
        given: Whether another data set was given.
    """
    return page("tabs/edit/without_data.html", data=data, given=given)


def overview(
    state: EditState,
    history: History,
    job: Job[Any],
    report: EditReport | None,
    classes: Sequence[str],
    owners: Mapping[int, str | None],
    changes: Sequence[ChangedPrediction],
    *,
    file: str,
    model: str,
    name: str,
    error: UserError | None = None,
    refused: str = "",
    not_saved: str = "",
) -> str:
    """What is decided, what came of it, and how to keep it.

    Args:
        state: Where the visitor is; while `state.saving` is not empty, `job` saves the new checkpoint.
        history: What is decided, and the way back.
        job: What is being done: saving, trying out what is decided, or looking at the model for the first time.
        report: What the decisions change, where that is known.
        classes: Names by label.
        owners: Prototype -> its class.
        changes: Test pictures that are named otherwise.
        file: The decisions as text.
        model: Name of the checkpoint.
        name: Proposed for the new one.
        error: What could not be done.
        refused: Why the visitor may not try anything out; empty who may.
        not_saved: Why the visitor may not save.
    """
    return page(
        "tabs/edit/page.html",
        state=state,
        history=history,
        job=job,
        report=report,
        classes=classes,
        owners=owners,
        changes=changes[:SHOWN_CHANGES],
        more=max(len(changes) - SHOWN_CHANGES, 0),
        reasons=REASONS,
        file=data_uri(file, "application/yaml"),
        model=model,
        name=name,
        error=error,
        refused=refused,
        not_saved=not_saved,
    )


def gallery(
    shown: Sequence[MarkedTile], total: int, query: Query, classes: Sequence[str], known: bool, here: int | None
) -> str:
    """All tiles; pictures are loaded when they come into view."""
    return page(
        "tabs/edit/gallery.html", shown=shown, total=total, query=query, classes=classes, known=known, here=here
    )


def one(
    shown: OpenPrototype, reason: Reason | str, note: str, who: str, error: UserError | None = None, refused: str = ""
) -> str:
    """A prototype that is being decided on, and the fields as they were filled in; `refused` as in `overview`."""
    return page(
        "tabs/edit/prototype.html",
        shown=shown,
        reasons=REASONS,
        reason=reason,
        note=note,
        who=who,
        error=error,
        refused=refused,
        longest_note=LONGEST_NOTE,
        longest_name=LONGEST_NAME,
    )
