"""Edit a checkpoint by a file of decisions: carry them out, refit the head, save a new checkpoint."""

from __future__ import annotations

from pathlib import Path

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.devices import AUTO
from protoexplain.editing.carry_out import carry_out, refit
from protoexplain.editing.decisions import Decisions
from protoexplain.editing.preview import open_preview
from protoexplain.editing.report import report
from protoexplain.editing.save import EditResult, require_free, save
from protoexplain.errors import UserError
from protoexplain.progress import Silent, Watcher


def edit(
    path: Path,
    decisions: Decisions,
    data: Path,
    out: Path,
    watcher: Watcher | None = None,
    command: str = "",
    device: str = AUTO,
) -> EditResult:
    """Carry out a file of decisions: edit, refit the head, save a new checkpoint.

    Args:
        path: The checkpoint to be edited; it stays as it is.
        decisions: What is unwanted, and what is done about it.
        data: The data set that it was trained on.
        out: The new checkpoint.
        watcher: Is shown the progress.
        command: How to make it again, for the model card.
        device: Where the model looks at the pictures, as `resolve_device`.

    Raises:
        UserError: `out` exists, the decisions are about another checkpoint or cannot be carried out, other data, or
            there is no such device.
    """
    shown = watcher or Silent()
    require_free(out)
    checkpoint = Checkpoint.load(path)
    meant = decisions.weights_sha256
    if meant and meant != checkpoint.weights_sha256:
        raise UserError(
            f"the decisions are about a checkpoint whose weights have the SHA-256 {meant[:16]}…",
            f"{path}, {checkpoint.weights_sha256[:16]}…",
            "name that checkpoint, or leave weights_sha256 out of the file if the numbers mean the same prototypes",
        )
    preview = open_preview(
        checkpoint, data, lambda done, total: shown.progress("looking at pictures", done, total), device
    )
    for notice in preview.data.notices:
        shown.line(notice)
    edited = carry_out(preview, decisions.decisions)
    epochs = refit(preview, edited, decisions.epochs, shown)
    found = report(preview, carry_out(preview, ()), edited, epochs)
    return save(preview, edited, found, out, command)
