"""Results of long work on a checkpoint: whether they can be added to it is known before, and none is lost after."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from protoexplain.errors import UserError

if TYPE_CHECKING:
    from protoexplain.checkpoint.checkpoint import Checkpoint

CopyTo = Annotated[
    Path | None,
    typer.Option(
        help="Copy the checkpoint into this folder and add the results to the copy, where the checkpoint itself cannot "
        "be written; compare, report and all others then take the copy."
    ),
]


def open_for_results(path: Path, copy_to: Path | None = None, resumable: bool = False) -> Checkpoint:
    """The checkpoint, or its copy, to which results can be added.

    Args:
        path: Folder of a checkpoint.
        copy_to: Folder of the copy, made where it is absent.
        resumable: Whether the work needs its `work_folder`.

    Raises:
        UserError: No whole checkpoint; or results could not be added to it.
    """
    from protoexplain.checkpoint.checkpoint import Checkpoint
    from protoexplain.io.atomic import require_writable

    loaded = Checkpoint.load(path)
    if copy_to is not None:
        loaded = loaded.copied(copy_to)
    try:
        loaded.require_writable()
        if resumable:
            require_writable(work_folder(loaded).parent)
    except UserError as error:
        raise UserError(
            f"the results could not be added to the checkpoint: {error.what}",
            error.where,
            "add --copy-to FOLDER to protoexplain measure or characteristics: the results go into a copy there",
        ) from error
    return loaded


def work_folder(checkpoint: Checkpoint) -> Path:
    """Where an interrupted measurement of a checkpoint goes on."""
    path = checkpoint.path.absolute()
    return path.with_name(f".{path.name}.measuring")


def add_results(checkpoint: Checkpoint, measured: Mapping[str, Any], show: Callable[[], None]) -> None:
    """Add results to a checkpoint.

    Args:
        checkpoint: As it was loaded before the work.
        measured: As `add_metrics` takes it.
        show: Prints the results; called only where they cannot be added.

    Raises:
        UserError: They could not be added after all; they were printed, and kept elsewhere, where it says.
    """
    from protoexplain.checkpoint.checkpoint import add_metrics
    from protoexplain.io.manifest import MEASUREMENTS

    try:
        add_metrics(checkpoint, measured)
    except UserError as error:
        show()
        place = _save_elsewhere(checkpoint, measured)
        raise UserError(
            f"the results could not be added to the checkpoint: {error.what}",
            error.where,
            f"they are in {place}: copy its files into the folder {MEASUREMENTS} of the checkpoint or of a copy"
            if place
            else "they could not be written elsewhere either; what is printed is all there is",
        ) from error


def _save_elsewhere(checkpoint: Checkpoint, measured: Mapping[str, Any]) -> Path | None:
    """The first folder that takes the results: in the user's cache, or a new temporary one."""
    from protoexplain.checkpoint.measurements import write_measurements
    from protoexplain.io.cache import cache_folder

    name = checkpoint.weights_sha256[:32]
    places = (lambda: cache_folder() / "results" / name, lambda: Path(tempfile.mkdtemp(prefix="protoexplain-")))
    for choose in places:
        try:
            place = choose()
            write_measurements(place, checkpoint.weights_sha256, measured)
        except (UserError, OSError):
            continue
        return place
    return None
