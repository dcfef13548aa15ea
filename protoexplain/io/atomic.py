"""The only writer of what matters: a file or folder appears complete under its name, or not at all.

New content is made beside its place as `<name>.tmp-<pid>`, brought to disk and renamed; what it replaces is
`<name>.old-<pid>` for a moment.  `recover` clears up after a program that was killed in between.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from protoexplain.errors import UserError
from protoexplain.io.manifest import MANIFEST, manifest_of

FAULT_VARIABLE = "PROTOEXPLAIN_FAULT"
"""`write:3` lets the third written file fail as on a full disk, for tests."""

_LEFTOVER = re.compile(r"(?P<name>.+)\.(?P<kind>tmp|old)-(?P<pid>\d+)")
_SYNC_THREADS = 8
"""Together, file systems bring small files to disk about eight times faster."""
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP)
"""What some network file systems answer to fsync of a folder."""
_writes = itertools.count(1)


def write_file(path: Path, content: bytes | str) -> None:
    """Write or replace one file (text as UTF-8).

    Raises:
        UserError: It cannot be written; the old content is still there.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = _beside(path, "tmp")
    with _all_or_nothing(path, temporary, len(data)):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        _settle_file(temporary)
        temporary.replace(path)
        _settle_folder(path.parent)


def write_folder(target: Path, fill: Callable[[Path], None], replace: bool = False) -> None:
    """Write a folder with a manifest of its files.

    Args:
        target: The folder to be.
        fill: Writes the files into the folder that it is given.
        replace: Whether an existing folder may be replaced.

    Raises:
        UserError: It exists, or cannot be written; an existing folder is then as before.
    """
    recover(target.parent, target.name)
    if target.exists() and not replace:
        raise UserError("there is something under this name already", str(target), "choose another name")
    temporary = _beside(target, "tmp")
    with _all_or_nothing(target, temporary):
        temporary.mkdir(parents=True)
        fill(temporary)
        (temporary / MANIFEST).write_text(manifest_of(temporary).to_json(), encoding="utf-8", newline="\n")
        _settle_tree(temporary)
        _swap(temporary, target)


def recover(parent: Path, name: str | None = None) -> list[str]:
    """Clear up what killed programs left in a folder; call it before this program writes there.

    A replaced folder returns to its name where its successor did not arrive.  Leftovers of other programs
    that still run are not touched.

    Args:
        parent: Folder to clear up.
        name: Look only at leftovers of this file or folder.

    Returns:
        The names of the leftovers.

    Raises:
        UserError: The folder cannot be read or written.
    """
    try:
        matches = [_LEFTOVER.fullmatch(entry.name) for entry in parent.iterdir()] if parent.is_dir() else []
        found = sorted(
            (match for match in matches if match and name in (None, match["name"]) and not _runs(int(match["pid"]))),
            key=lambda match: match.string,
        )
        for match in found:
            entry, target = parent / match.string, parent / match["name"]
            if match["kind"] == "old" and not target.exists():
                entry.rename(target)
            else:
                _remove(entry)
    except OSError as error:
        raise _refusal(parent, error, 0) from error
    return [match.string for match in found]


def is_leftover(path: Path) -> bool:
    """Whether a name is that of unfinished or replaced content."""
    return _LEFTOVER.fullmatch(path.name) is not None


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f"{path.name}.{kind}-{os.getpid()}")


def _runs(pid: int) -> bool:
    """Whether another process of that number exists; never for our own number, which is then an accident."""
    if pid == os.getpid() or os.name == "nt":
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _all_or_nothing(target: Path, temporary: Path, size: int = 0) -> Iterator[None]:
    """Remove the temporary content if anything goes wrong, and say what."""
    try:
        yield
    except BaseException as error:
        needed = max(size, _size(temporary))
        _remove(temporary)
        if isinstance(error, OSError):
            raise _refusal(target, error, needed) from error
        raise


def _refusal(target: Path, error: OSError, needed: int) -> UserError:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"cannot write: {error.strerror}", str(target), "choose another folder")
    place = target.parent
    free = shutil.disk_usage(_existing(place)).free
    return UserError(
        f"the disk is full: needs at least {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB free at {place}",
        str(target),
        "make room, or choose a folder on another disk",
    )


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _swap(temporary: Path, target: Path) -> None:
    """Put the temporary folder in the place of the target."""
    aside = _beside(target, "old")
    if target.exists():
        target.rename(aside)
    try:
        temporary.rename(target)
        _settle_folder(target.parent)
    except BaseException:
        if aside.exists():
            _remove(target)
            aside.rename(target)
        raise
    _remove(aside)


def _settle_tree(folder: Path) -> None:
    """Bring a folder to disk, its files with the permissions that the user's umask gave the folder itself."""
    permissions = folder.stat().st_mode & 0o666
    paths = [*folder.rglob("*"), folder]
    files = [path for path in paths if not path.is_dir()]
    for path in files:
        path.chmod(permissions)
    with ThreadPoolExecutor(_SYNC_THREADS) as pool:
        list(pool.map(_settle_file, files))
    for path in paths:
        if path.is_dir():
            _settle_folder(path)


def _settle_file(path: Path) -> None:
    wanted = os.environ.get(FAULT_VARIABLE)
    if wanted and wanted == f"write:{next(_writes)}":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    with path.open("r+b") as stream:
        os.fsync(stream.fileno())


def _settle_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)
