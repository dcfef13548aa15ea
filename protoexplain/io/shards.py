"""Files inside plain tar files ("shards"), read in place as if a tar file were a folder: ``000.tar/cat.jpg``.

Nothing is unpacked.  Where each member lies is found out once and kept in the user's cache, so that any member can be
read at once.  A tar file that could lead elsewhere (links, devices, absolute paths, ``..``) is refused as a whole.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Mapping
from functools import cache
from itertools import chain
from pathlib import Path, PurePosixPath, PureWindowsPath

from protoexplain.errors import UserError
from protoexplain.io.cache import DiskCache, cache_folder

SUFFIX = ".tar"
MAX_MEMBERS = 1_000_000
"""Of one tar file."""
MAX_BYTES = 1 << 28
"""Of one member; larger ones are not read."""
_MAX_HEADER = 1 << 20
"""Bytes of all headers of one member."""
_LONG_NUMBER = re.compile(rb"[0-9]{256}")
"""In headers; the time that `tarfile` takes for a number grows with the square of its digits."""
_MAX_GLOBAL = 1 << 16
"""Characters of the headers that hold for all members."""
_FORMAT = "2"
_BLOCK = tarfile.BLOCKSIZE
_AGAIN = "copy or make the file again, as a plain tar file of regular files"

Place = tuple[int, int]
"""First byte and number of bytes of a member in its tar file."""


def is_shard(path: Path) -> bool:
    """Whether the name is that of a tar file."""
    return path.suffix.lower() == SUFFIX


def shard_of(path: Path) -> Path | None:
    """The tar file that a path leads into; None for any other path."""
    return next((above for above in path.parents if is_shard(above) and os.path.isfile(above)), None)


def open_file(path: Path) -> io.BufferedReader | io.BytesIO:
    """Open a file, or a member of a tar file, for reading.

    Raises:
        OSError: As `open`.
        UserError: A tar file that is refused, or a member that is too large.
    """
    shard = shard_of(path)
    if shard is None:
        return path.open("rb")
    place = members_of(shard).get(path.relative_to(shard).as_posix())
    if place is None:
        raise FileNotFoundError(2, "there is no such member in the tar file", str(path))
    start, size = place
    if size > MAX_BYTES:
        raise UserError(f"the member has {size:,} bytes; up to {MAX_BYTES:,} are read", str(path), "leave it out")
    with shard.open("rb") as stream:
        stream.seek(start)
        return io.BytesIO(stream.read(size))


def file_state(path: Path) -> tuple[int, int]:
    """Bytes and time of the last change in nanoseconds of a file, or of the tar file that a path leads into.

    Raises:
        OSError: As `os.stat`.
    """
    state = (shard_of(path) or path).stat()
    return state.st_size, state.st_mtime_ns


def members_of(shard: Path) -> Mapping[str, Place]:
    """The regular files in a tar file, by name.

    Args:
        shard: The tar file.

    Raises:
        OSError: As `open`.
        UserError: It is damaged, compressed, or holds what is refused.
    """
    return _members(shard, *file_state(shard))


@cache
def _members(shard: Path, size: int, changed: int) -> Mapping[str, Place]:
    """As `members_of`; size and time tell a file from its former state."""
    known = DiskCache(cache_folder() / "shards")
    key = hashlib.sha256(f"{_FORMAT}|{shard.resolve()}|{size}|{changed}".encode(errors="surrogateescape")).hexdigest()
    if (kept := known.get(key)) is not None:
        try:
            return {str(name): (int(start), int(length)) for name, start, length in json.loads(kept)}
        except (ValueError, TypeError):
            pass
    found = _looked_through(shard, size)
    known.put(key, json.dumps([[name, *place] for name, place in found.items()]).encode())
    return found


class _Headers(io.BufferedReader):
    """A tar file of which headers alone are read: one that pretends to be huge, or goes on and on, must not fill the
    memory."""

    left = _MAX_HEADER

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= self.left:
            raise tarfile.ReadError("a header is too large")
        self.left -= size
        header = super().read(size)
        if _LONG_NUMBER.search(header):
            raise tarfile.ReadError("a header holds a number of hundreds of digits")
        return header


def _looked_through(shard: Path, size: int) -> dict[str, Place]:
    found: dict[str, Place] = {}
    try:
        with _Headers(io.FileIO(shard)) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]
                stream.left = _MAX_HEADER
                if sum(map(len, chain.from_iterable((archive.pax_headers or {}).items()))) > _MAX_GLOBAL:
                    raise tarfile.ReadError("the headers for all members are too large")
                if fault := _fault(member, size, found):
                    raise UserError(f"the tar file is refused: {member.name[:200]!a} {fault}", str(shard), _AGAIN)
                if member.isfile():
                    found[PurePosixPath(member.name).as_posix()] = member.offset_data, member.size
            stream.seek(archive.offset)
            if stream.read(_BLOCK).strip(b"\0"):
                raise tarfile.ReadError(f"there is no header at byte {archive.offset}")
    except (tarfile.TarError, ValueError, OverflowError, EOFError, RecursionError) as error:
        told = "too many headers of one member" if isinstance(error, RecursionError) else error
        reason = f"the tar file is damaged, or not a plain one: {told}"
        raise UserError(reason, str(shard), f"{_AGAIN}; compressed ones have to be unpacked first") from error
    return found


def _fault(member: tarfile.TarInfo, size: int, found: Mapping[str, Place]) -> str:
    """Why a member spoils its tar file; nothing where it does not."""
    path, anywhere = PurePosixPath(member.name), PureWindowsPath(member.name)
    if not (member.isfile() or member.isdir()) or member.issparse():
        return "is no regular file"
    if member.isfile() and not path.name:
        return "is no name of a file"
    if path.is_absolute() or anywhere.anchor or ".." in anywhere.parts:
        return "leads out of the tar file"
    if member.size < 0 or member.offset_data + member.size > size:
        return "is cut off"
    if path.as_posix() in found:
        return "is there twice"
    if len(found) >= MAX_MEMBERS:
        return f"is one of more than {MAX_MEMBERS:,} members"
    return ""
