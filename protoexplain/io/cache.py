"""Results of slow work on disk, bounded in size.

One compressed file for each result; what was not used for longest makes room.  A cache only saves time: where it
cannot be read or written, the work is done again.
"""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from pathlib import Path
from threading import Lock

import platformdirs

from protoexplain.errors import UserError
from protoexplain.io.atomic import is_leftover, recover, write_file

_FULL_SHARE = 0.9
"""A full cache evicts results until this share of its size is left."""


def cache_folder() -> Path:
    """The user's folder for results that can be computed again, where the operating system keeps such folders."""
    return platformdirs.user_cache_path("protoexplain", appauthor=False)


class DiskCache:
    """Bytes by key.

    Args:
        folder: Made when the first result is kept.
        max_bytes: Room for all files together.
    """

    def __init__(self, folder: Path, max_bytes: int = 1 << 30) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self._size: int | None = None
        self._lock = Lock()

    def get(self, key: str) -> bytes | None:
        """The bytes kept under a key (hexadecimal), None where there are none or they are damaged."""
        path = self._path(key)
        try:
            content = zlib.decompress(path.read_bytes())
        except (OSError, zlib.error):
            return None
        with suppress(OSError):
            os.utime(path)
        return content

    def put(self, key: str, content: bytes) -> None:
        """Keep bytes under a key; failures are passed over."""
        packed = zlib.compress(content, 1)
        with self._lock, suppress(UserError, OSError):
            write_file(self._path(key), packed)
            self._size = self._measured() if self._size is None else self._size + len(packed)
            if self._size > self.max_bytes:
                self._size = self._evict()

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def _files(self) -> list[tuple[float, int, Path]]:
        """(time of last use, bytes, file) of all results, oldest first."""
        found = []
        for path in self.folder.glob("??/*"):
            with suppress(OSError):
                state = path.stat()
                if not is_leftover(path):
                    found.append((state.st_mtime, state.st_size, path))
        return sorted(found)

    def _measured(self) -> int:
        """Bytes of all results, once what killed programs left unfinished is gone."""
        for folder in self.folder.glob("??"):
            recover(folder)
        return sum(size for _, size, _ in self._files())

    def _evict(self) -> int:
        """Remove the results unused for longest; returns the bytes that are left."""
        files = self._files()
        left = sum(size for _, size, _ in files)
        for _, size, path in files:
            if left <= _FULL_SHARE * self.max_bytes:
                break
            with suppress(OSError):
                path.unlink()
                left -= size
        return left
