"""HTML of the tab 'Edit'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.jobs import Job
from app.tabs.edit.actions import REASONS, SHOWN_CHANGES, Marked, Opened, Renamed, Wish
from app.templating import carried, page, sentence
from protoexplain.editing.decisions import LONGEST_NAME, LONGEST_NOTE, History, Reason
from protoexplain.editing.report import Report
from protoexplain.errors import UserError


def without_data(data: str, given: bool) -> str:
    """What the app has to be started with.

    Args:
        data: Name of the data set of the model.
        given: Whether another data set was given.
    """
    return page("tabs/edit/without_data.html", data=data, given=given)


def overview(
    history: History,
    job: Job[Any],
    report: Report | None,
    classes: Sequence[str],
    owners: Mapping[int, str | None],
    changes: Sequence[Renamed],
    words: Mapping[str, object],
    *,
    file: str,
    model: str,
    name: str,
    saving: str = "",
    saved: str = "",
    trouble: UserError | None = None,
) -> str:
    """What is decided, what came of it, and how to keep it.

    Args:
        history: What is decided, and the way back.
        job: What is being done: saving, trying out what is decided, or looking at the model for the first time.
        report: What the decisions change, where that is known.
        classes: Names by label.
        owners: Prototype -> its class.
        changes: Test pictures that are named otherwise.
        words: That bring a visitor back.
        file: The decisions as text.
        model: Name of the checkpoint.
        name: Proposed for the new one.
        saving: Name under which `job` saves a new checkpoint; empty where it does something else.
        saved: Name of what was saved.
        trouble: What could not be done.
    """
    return page(
        "tabs/edit/page.html",
        history=history,
        job=job,
        report=report,
        classes=classes,
        owners=owners,
        changes=changes[:SHOWN_CHANGES],
        more=max(len(changes) - SHOWN_CHANGES, 0),
        reasons=REASONS,
        words=words,
        file=carried(file, "application/yaml"),
        model=model,
        name=name,
        saving=saving,
        saved=saved,
        notice=_in_sentences(trouble),
    )


def shelf(
    shown: Sequence[Marked], total: int, wish: Wish, classes: Sequence[str], known: bool, here: int | None
) -> str:
    """All tiles; pictures are loaded when they come into view."""
    return page("tabs/edit/gallery.html", shown=shown, total=total, wish=wish, classes=classes, known=known, here=here)


def one(shown: Opened, reason: Reason | str, note: str, who: str, trouble: UserError | None = None) -> str:
    """A prototype that is being decided on, and the fields as they were filled in."""
    return page(
        "tabs/edit/prototype.html",
        shown=shown,
        reasons=REASONS,
        reason=reason,
        note=note,
        who=who,
        notice=_in_sentences(trouble),
        longest_note=LONGEST_NOTE,
        longest_name=LONGEST_NAME,
    )


def _in_sentences(trouble: UserError | None) -> tuple[str, str] | None:
    """What is wrong, and what to do."""
    return (sentence(trouble.what), sentence(trouble.fix)) if trouble else None
