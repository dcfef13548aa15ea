"""One program at a time works in a folder; a second one is told which, where, and for how long.

The lock is the operating system's, so a killed program gives it up.  What it leaves behind is the note about its owner,
by which the next one knows that it takes over.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from protoexplain.errors import UserError
from protoexplain.progress import in_words

LOCK = ".lock"
OWNER = ".lock-owner.json"


class FolderLock:
    """A folder as one program's own.

    Args:
        folder: That exists once the lock is taken.
        work: What is done in it, such as ``training in this folder``.
        fix: What a second program can do but wait.
    """

    def __init__(self, folder: Path, work: str, fix: str = "") -> None:
        self._folder, self._work = folder, work
        self._fix = " or ".join(each for each in ("wait for it to end", fix) if each)
        self._lock = FileLock(folder / LOCK)

    def acquire(self) -> str:
        """Take the folder, without waiting.

        Returns:
            A sentence about a program that had it and ended without giving it back; empty where there was none.

        Raises:
            UserError: Another program has it; says which, on which computer, and for how long.
        """
        note = self._folder / OWNER
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            other = _described(note) or "of unknown number"
            raise UserError(
                f"another process is {self._work}: {other}",
                str(self._folder),
                self._fix,
            ) from error
        died = _described(note)
        owner = {"process": os.getpid(), "host": socket.gethostname(), "began": time.time()}
        with suppress(OSError):  # a full disk is told by what needs the room
            note.write_text(json.dumps(owner), encoding="utf-8")
        return died and f"taken over from a process that ended without finishing: {died}"

    def release(self) -> None:
        """Give the folder back; does nothing where it was not taken."""
        if self._lock.is_locked:
            with suppress(OSError):
                (self._folder / OWNER).unlink()
        self._lock.release()


def _described(note: Path) -> str:
    """The owner in words; empty where nothing readable is said about one."""
    try:
        owner = json.loads(note.read_text(encoding="utf-8"))
        process, host, seconds = int(owner["process"]), str(owner["host"]), time.time() - float(owner["began"])
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return ""
    return f"process {process} on {host}, begun {in_words(max(0.0, seconds))} ago"
