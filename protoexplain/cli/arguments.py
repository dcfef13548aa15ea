"""What commands are given, checked before heavy libraries are imported, so that mistakes are told at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from protoexplain.errors import UserError


def existing_checkpoint(context: typer.Context, path: Path | None) -> Path | None:
    """The folder, if it holds a checkpoint whose small files can be read.

    Raises:
        UserError: As `Checkpoint.load`.
    """
    if path is not None and not context.resilient_parsing:
        from protoexplain.checkpoint.checkpoint import Checkpoint

        Checkpoint.load(path, verify=False)
    return path


def existing_checkpoints(context: typer.Context, paths: list[Path]) -> list[Path]:
    """As `existing_checkpoint`, each."""
    for path in paths:
        existing_checkpoint(context, path)
    return paths


def existing_folder(context: typer.Context, path: Path | None) -> Path | None:
    """The folder of a data set, if there is one.

    Raises:
        UserError: There is none.
    """
    if path is not None and not context.resilient_parsing:
        from protoexplain.data.read import require_folder

        require_folder(path)
    return path


def existing_images(context: typer.Context, paths: list[Path] | None) -> list[Path] | None:
    """Images, unless none of them is a file.

    Raises:
        UserError: Says so of the first.
    """
    if paths and not context.resilient_parsing and not any(path.is_file() for path in paths):
        from protoexplain.io.images import image_size

        image_size(paths[0])
    return paths


def existing_image(context: typer.Context, path: Path) -> Path:
    """As `existing_images`, one."""
    existing_images(context, [path])
    return path


@contextmanager
def named(option: str) -> Iterator[None]:
    """Mistakes in the block that name no place are about this option."""
    try:
        yield
    except UserError as error:
        raise UserError(error.what, error.where or option, error.fix) from error


CheckpointFolder = Annotated[Path, typer.Argument(help="Folder of a checkpoint.", callback=existing_checkpoint)]
MeasuredCheckpoint = Annotated[
    Path, typer.Argument(help="Folder of a checkpoint; the results are added to it.", callback=existing_checkpoint)
]
Data = Annotated[
    Path, typer.Option("--data", "-d", help="The data set that it was trained on.", callback=existing_folder)
]
