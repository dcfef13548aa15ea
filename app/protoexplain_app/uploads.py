"""The folder of uploaded pictures: what lies in it, and that it does not grow without end."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from protoexplain.errors import UserError

LARGEST = 8 << 20
"""Bytes of one upload."""
ROOM = 500_000_000
"""Bytes of all uploads; older ones make room for newer ones."""
SWEEPS_EVERY = 20.0
"""Seconds."""
FOLDER = "GRADIO_TEMP_DIR"
"""The environment variable in which Gradio looks for the folder."""


def make_folder() -> Path:
    """A folder for uploads, which is removed when the program ends."""
    folder = Path(tempfile.mkdtemp(prefix="protoexplain-uploads-"))
    os.environ[FOLDER] = str(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    threading.Thread(target=_sweep_periodically, args=(folder,), daemon=True).start()
    return folder


def uploaded(path: str) -> Path:
    """An uploaded file by the path that a browser sent.

    Raises:
        UserError: It is none.
    """
    gone = UserError("the picture is no longer here", "", "choose it again")
    try:
        folder, file = Path(os.environ[FOLDER]).resolve(), Path(path).resolve()
    except ValueError as error:
        raise gone from error
    if not file.is_relative_to(folder) or not file.is_file():
        raise gone
    return file


def sweep(folder: Path, room: int = ROOM) -> None:
    """Remove the oldest files until the others fit into `room` bytes."""
    found = []
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file():
                found.append((path.stat().st_mtime, path.stat().st_size, path))
    used = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if used <= room:
            break
        with suppress(OSError):
            path.unlink()
            used -= size


def _sweep_periodically(folder: Path) -> None:
    while folder.is_dir():
        sweep(folder)
        time.sleep(SWEEPS_EVERY)
