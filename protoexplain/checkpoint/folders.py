"""Where checkpoints are: below a folder of runs, and those that come with the program."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import protoexplain
from protoexplain.checkpoint.file_names import MODEL
from protoexplain.io.atomic import is_leftover
from protoexplain.io.manifest import MANIFEST

_DEPTH = 2


def find_checkpoints(folder: Path, onerror: Callable[[OSError], None] | None = None) -> list[Path]:
    """Checkpoint folders at or at most two levels below a folder, such as those of several runs.

    Args:
        folder: Where to look.
        onerror: Is told of each folder that cannot be read, by `filename`; they are passed over.
    """
    found = []
    for name, folders, files in os.walk(folder, onerror=onerror, followlinks=True):
        place = Path(name)
        is_checkpoint = MANIFEST in files and MODEL in files
        if is_checkpoint and not is_leftover(place):
            found.append(place)
        if is_checkpoint or len(place.relative_to(folder).parts) == _DEPTH:
            folders.clear()
    return sorted(found)


def shipped_checkpoints() -> Path:
    """The folder of the checkpoints that come with the program."""
    package = Path(protoexplain.__file__).parent
    repository = package.parent
    if (repository / "pyproject.toml").is_file() and (repository / "checkpoints").is_dir():
        return repository / "checkpoints"
    return package / "_checkpoints"
