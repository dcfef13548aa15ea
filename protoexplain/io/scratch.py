"""Intermediate results on disk: files that get their room before they are written, numbers of which only what is looked
at lies in memory, folders that are removed with what still holds on to the files in them.
"""

from __future__ import annotations

import errno
import math
import mmap
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

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


class ScratchTensor:
    """float32 numbers in a file without a name, which vanishes with them.

    Rows are copied in and out; between that none of them lies in the memory of this process, so that a table of many
    rows takes no more of it than one of few.  (The system may keep them as it keeps files.)

    Args:
        shape: Rows first, more than none.
        what: Named in errors.

    Raises:
        UserError: The disk is too full.
    """

    def __init__(self, shape: Sequence[int], what: str) -> None:
        with tempfile.TemporaryFile() as stream:
            reserve(stream, 4 * math.prod(shape), Path(tempfile.gettempdir()) / what)
            self._memory = mmap.mmap(stream.fileno(), 4 * math.prod(shape))
        self._rows = torch.from_numpy(np.ndarray(tuple(shape), np.float32, self._memory))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice | Sequence[int]) -> Tensor:
        found = self._rows[rows].clone()
        self._let_go()
        return found

    def __setitem__(self, rows: slice, values: Tensor) -> None:
        self._rows[rows] = values
        self._let_go()

    def _let_go(self) -> None:
        """What was written is in the file all the same."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._memory.madvise(mmap.MADV_DONTNEED)


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
