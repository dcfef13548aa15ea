"""The list of a folder's files with sizes and SHA-256, by which damage is found before anything is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from protoexplain.errors import UserError
from protoexplain.io.left_behind import is_left_behind

MANIFEST = "MANIFEST.json"
MEASUREMENTS = "measurements"
"""What lies under this name in a folder comes and goes; the manifest says nothing about it."""
MAX_JSON_BYTES = 50_000_000

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

_COPY_AGAIN = "copy or download the folder again"


@dataclass(frozen=True)
class FileEntry:
    """Args: sha256: hexadecimal; size: in bytes."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    sha256: Sha256
    size: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Manifest:
    """What a folder holds.

    Args:
        files: Path below the folder, with forward slashes -> entry.
        sha256: Of the table of files; names the state of the whole folder.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    files: Mapping[str, FileEntry]
    sha256: Sha256

    def to_json(self) -> str:
        return _canonical({"files": _plain(self.files), "sha256": self.sha256})


_MANIFEST = TypeAdapter(Manifest)


def manifest_of(folder: Path) -> Manifest:
    """Hash all files below a folder but the manifest itself and the measurements."""
    present = _files_below(folder)
    files = {name: FileEntry(_sha256(path), path.stat().st_size) for name, path in present.items()}
    return Manifest(files, _table_digest(files))


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder.

    Raises:
        UserError: There is none, or it is not as it was written.
    """
    path = folder / MANIFEST
    content = read_limited(path, MAX_JSON_BYTES)
    try:
        manifest = _MANIFEST.validate_json(content, strict=True)
    except ValidationError as error:
        raise UserError(f"{MANIFEST} is damaged: {first_mistake(error)}", str(path), _COPY_AGAIN) from error
    found = _table_digest(manifest.files)
    if manifest.sha256 != found or manifest.to_json().encode() != content:
        raise UserError(
            f"{MANIFEST} is damaged: its table should have SHA-256 {manifest.sha256} and has {found}",
            str(path),
            _COPY_AGAIN,
        )
    return manifest


def verify_folder(folder: Path, hashes: bool = True) -> Manifest:
    """Compare a folder with its manifest.

    Args:
        folder: To check.
        hashes: Also read every file; otherwise names and sizes only.

    Raises:
        UserError: A file is missing, extra or changed; named with the expected and the found hash.
    """
    manifest = read_manifest(folder)
    present = _files_below(folder)
    for name in sorted(set(manifest.files) - set(present)):
        lost = f"{name} is missing: expected SHA-256 {manifest.files[name].sha256}, found no file"
        raise UserError(lost, str(folder), _COPY_AGAIN)
    for name in sorted(set(present) - set(manifest.files)):
        raise UserError(f"{name} does not belong into this folder", str(folder), "move it away")
    for name, entry in manifest.files.items():
        size = present[name].stat().st_size
        if size == entry.size and not hashes:
            continue
        found = _sha256(present[name])
        if size != entry.size or found != entry.sha256:
            raise UserError(
                f"{name} was changed: expected {entry.size:,} bytes with SHA-256 {entry.sha256},"
                f" found {size:,} bytes with {found}",
                str(folder),
                _COPY_AGAIN,
            )
    return manifest


def read_limited(path: Path, limit: int) -> bytes:
    """The bytes of a file that must not be larger than `limit`.

    Raises:
        UserError: It is too large, is no file (a pipe might never end) or cannot be read.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path.name} is no file", str(path), "give a complete folder")
    try:
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
    except FileNotFoundError as error:
        raise UserError(f"{path.name} is missing", str(path), "give a complete folder") from error
    except OSError as error:
        raise UserError(f"{path.name} cannot be read: {error.strerror}", str(path)) from error
    if len(content) > limit:
        raise UserError(f"{path.name} has more than {limit:,} bytes", str(path), "use what the program wrote")
    return content


def read_json_table(path: Path) -> dict[str, Any]:
    """The table of keys that a JSON file holds.

    Raises:
        UserError: It is too large, cannot be read, or holds something else.
    """
    fix = "use what the program wrote"
    try:
        table = json.loads(read_limited(path, MAX_JSON_BYTES), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path.name} is not JSON: {error}", str(path), fix) from error
    if not isinstance(table, dict):
        raise UserError(f"{path.name} is not a table of keys", str(path), fix)
    return table


def first_mistake(error: ValidationError) -> str:
    """Place and kind of the first mistake, in one line."""
    mistake = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in mistake["loc"])
    return " ".join(f"{place}: {mistake['msg']}".removeprefix(": ").split())


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _files_below(folder: Path) -> dict[str, Path]:
    """All files by their path below the folder, but the manifest, the measurements and what systems leave behind.

    Raises:
        UserError: Something that is neither folder nor file.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_dir() or parts[0] in (MANIFEST, MEASUREMENTS) or any(map(is_left_behind, parts)):
            continue
        if not path.is_file():
            raise UserError(f"{path.name} is not a plain file", str(path), "remove it")
        found[path.relative_to(folder).as_posix()] = path
    return found


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path.name} cannot be read: {error.strerror}", str(path)) from error


def _plain(files: Mapping[str, FileEntry]) -> dict[str, dict[str, object]]:
    return {name: asdict(entry) for name, entry in files.items()}


def _table_digest(files: Mapping[str, FileEntry]) -> str:
    return hashlib.sha256(_canonical(_plain(files)).encode()).hexdigest()


def _canonical(content: object) -> str:
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
