"""The only writer of what matters: a file or folder appears complete under its name, or not at all.

New content is made beside its place as `<name>.tmp-<pid>-<token>`, brought to disk and renamed.  A file may replace
an older one, in one step; a folder never does, since no system can put one folder in the place of another in one
step.  What a program that was killed in between left unfinished is removed when the same file or folder is written
again; `recover` does so for a whole folder.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from protoexplain.errors import UserError
from protoexplain.io.manifest import MANIFEST, MEASUREMENTS, manifest_of

FAULT_VARIABLE = "PROTOEXPLAIN_FAULT"
"""`write:3` lets the third write fail as on a full disk, for tests."""

_MARK = ".tmp-"
_LEFTOVER = re.compile(rf"(?P<name>.+){re.escape(_MARK)}(?P<pid>\d+)(-[0-9a-f]+)?")
_SYNC_THREADS = 8
"""Together, file systems bring small files to disk about eight times faster."""
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP)
"""What some network file systems answer to fsync of a folder."""
log = logging.getLogger(__name__)
_writes = itertools.count(1)
_unfinished: set[str] = set()
"""Names of the temporary content that threads of this program are writing."""


def write_file(path: Path, content: bytes | str, *, new: bool = False) -> None:
    """Write one file (text as UTF-8, in which what is no text, as in some names of files, becomes ``\\udcff``).

    Args:
        path: The file.
        content: All of it.
        new: Replace nothing, not even what appears under the name in the meantime.

    Raises:
        UserError: It cannot be written, or `new` and there is something; the old content is still there.
    """
    require_no_checkpoint(path)
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    recover(path.parent, path.name)
    with _all_or_nothing(path, len(data)) as temporary:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        _sync_file(temporary)
        (_give_free_name if new else Path.replace)(temporary, path)
        _sync_folder(path.parent)
    log.info("wrote %s", path)


def write_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Write a new folder with a manifest of its files.

    Args:
        target: The folder to be.
        fill: Writes the files into the folder that it is given.

    Raises:
        UserError: There is something under the name already, which stays as it is; or it cannot be written.
    """
    require_no_checkpoint(target)
    recover(target.parent, target.name)
    if target.exists():
        raise _taken(target)
    with _all_or_nothing(target) as temporary:
        temporary.mkdir(parents=True)
        fill(temporary)
        (temporary / MANIFEST).write_text(manifest_of(temporary).to_json(), encoding="utf-8", newline="\n")
        _sync_tree(temporary)
        try:
            temporary.rename(target)
        except OSError as error:
            raise (_taken(target) if target.exists() else error) from error
        _sync_folder(target.parent)
    log.info("wrote %s", target)


def require_writable(folder: Path) -> None:
    """Refuse a folder in which no file can be made; one that is absent is made.

    Raises:
        UserError: Says why.
    """
    require_no_checkpoint(folder / "a new file")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _refusal(folder, error, 0) from error


def require_no_checkpoint(target: Path) -> None:
    """Refuse a place within a checkpoint, which any further file but measurements would spoil.

    Raises:
        UserError: It is one.
    """
    place = target.absolute()
    for folder in place.parents:
        complete = (folder / MANIFEST).is_file() and (folder / "model.safetensors").is_file()
        if complete and place.relative_to(folder).parts[0] != MEASUREMENTS:
            what = f"{target.name} would lie within a checkpoint, whose files are fixed"
            raise UserError(what, str(folder), "choose another place")


@contextmanager
def write_errors(target: Path, needed: int = 0) -> Iterator[None]:
    """Say what is wrong where the block cannot write, in words.

    Args:
        target: What is written.
        needed: Bytes that it needs, as far as known.

    Raises:
        UserError: As the system says, or as `FAULT_VARIABLE` asks for.
    """
    try:
        _strike(target)
        yield
    except OSError as error:
        raise _refusal(target, error, needed) from error


def recover(parent: Path, name: str | None = None) -> list[str]:
    """Remove what killed programs left unfinished in a folder; call it before this program writes there.

    What this program or another one that still runs is writing is not touched.

    Args:
        parent: Folder to clear up.
        name: Look only at leftovers of this file or folder.

    Returns:
        The names of what was removed.

    Raises:
        UserError: The folder cannot be read or written.
    """
    try:
        names = [entry for entry in os.listdir(parent) if _MARK in entry] if parent.is_dir() else []
    except OSError as error:
        raise _refusal(parent, error, 0) from error
    wanted = (match for match in map(_LEFTOVER.fullmatch, names) if match and name in (None, match["name"]))
    found = sorted(m.string for m in wanted if m.string not in _unfinished and not _runs(int(m["pid"])))
    for leftover in found:
        _remove(parent / leftover)
    return found


def is_leftover(path: Path) -> bool:
    """Whether a name is that of unfinished content."""
    return _LEFTOVER.fullmatch(path.name) is not None


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
def _all_or_nothing(target: Path, size: int = 0) -> Iterator[Path]:
    """A place beside the target for its content, which is removed if anything goes wrong; then says what."""
    temporary = target.with_name(f"{target.name}{_MARK}{os.getpid()}-{secrets.token_hex(4)}")
    _unfinished.add(temporary.name)
    try:
        yield temporary
    except BaseException as error:
        needed = max(size, _size(temporary))
        _remove(temporary)
        if isinstance(error, OSError):
            raise _refusal(target, error, needed) from error
        raise
    finally:
        _unfinished.discard(temporary.name)


def _give_free_name(temporary: Path, target: Path) -> None:
    """Rename a file unless the name is taken: in one step, except where the file system has no hard links."""
    try:
        os.link(temporary, target)
    except FileExistsError as error:
        raise _taken(target) from error
    except OSError as error:
        if target.exists():
            raise _taken(target) from error
        temporary.rename(target)
    else:
        temporary.unlink()


def _taken(target: Path) -> UserError:
    return UserError("there is something under this name already", str(target), "choose another name")


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


def _sync_tree(folder: Path) -> None:
    """Bring a folder to disk, its files with the permissions that the user's umask gave the folder itself."""
    permissions = folder.stat().st_mode & 0o666
    paths = [*folder.rglob("*"), folder]
    files = [path for path in paths if not path.is_dir()]
    for path in files:
        path.chmod(permissions)
    with ThreadPoolExecutor(_SYNC_THREADS) as pool:
        list(pool.map(_sync_file, files))
    for path in paths:
        if path.is_dir():
            _sync_folder(path)


def _strike(path: Path) -> None:
    """Fail as on a full disk where `FAULT_VARIABLE` says so."""
    wanted = os.environ.get(FAULT_VARIABLE)
    if wanted and wanted == f"write:{next(_writes)}":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _sync_file(path: Path) -> None:
    _strike(path)
    with path.open("r+b") as stream:
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
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
