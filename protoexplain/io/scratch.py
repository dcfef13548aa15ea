"""Intermediate results on disk: files that get their room before they are written, folders that are removed with what
still holds on to the files in them.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import traceback
from pathlib import Path
from typing import IO

from protoexplain.io.atomic import write_errors

_NO_RESERVING = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
"""What some file systems answer to a reservation."""


def reserve(stream: IO[bytes], size: int, path: Path) -> None:
    """Give an open file its size, with room on the disk for all of it; what is in it stays.

    Who writes through a map of a file that has no such room is killed by the system, without a word.

    Args:
        stream: The file.
        size: In bytes, more than none.
        path: Named in errors.

    Raises:
        UserError: The disk is too full.
    """
    with write_errors(path, size):
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(stream.fileno(), 0, size)
            except OSError as error:
                if error.errno not in _NO_RESERVING:
                    raise
        elif shutil.disk_usage(path.parent).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        stream.truncate(size)


def remove_scratch(folder: Path) -> None:
    """Remove a folder of intermediate results; what cannot be removed stays.

    Windows removes no file that is mapped into memory.  Where an exception is on its way, the functions that it came
    through may still hold such maps in their variables, so these are cleared first.
    """
    error = sys.exception()
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
    shutil.rmtree(folder, ignore_errors=True)
