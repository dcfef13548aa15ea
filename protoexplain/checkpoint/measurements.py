"""What was measured of a checkpoint after it was saved: a folder of small JSON files, one for each measurement.

A file is named after what it holds: `interpretability.consistency.json` is the entry "consistency" of the table
"interpretability".  It also holds the SHA-256 of the weights that were measured, so that it may be copied with them
and never counts for others.  A file is replaced whole, in one step: readers find the old or the new one, and programs
that measure different things at the same time never write the same file.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import protoexplain
from protoexplain.errors import UserError
from protoexplain.io.atomic import recover, write_file
from protoexplain.io.json_values import finite
from protoexplain.io.manifest import read_json_table

FORMAT = 1
"""Grows when older programs can no longer read what this one writes."""

_ENDING = ".json"
_NAME = re.compile(r"[\w -]+(\.[\w -]+)?")


@dataclass(frozen=True)
class Measurements:
    """What a folder of measurements holds.

    Args:
        values: Name -> JSON values; the entries of one table are together.
        ignored: A sentence for each file that does not count, which names it.
    """

    values: Mapping[str, Any]
    ignored: tuple[str, ...]


def read_measurements(folder: Path, weights_sha256: str) -> Measurements:
    """Read what was measured with certain weights; a folder that is absent holds nothing.

    Args:
        folder: Of measurements.
        weights_sha256: Of the file of weights.
    """
    values: dict[str, Any] = {}
    ignored = []
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        names = []
    except OSError as error:
        names, ignored = [], [f"ignored: {folder}: {error.strerror}"]
    for name in sorted(name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING)):
        path = folder / f"{name}{_ENDING}"
        try:
            value = _read(path, weights_sha256)
        except UserError as error:
            ignored.append(f"ignored: {path}: {error.what}")
            continue
        table, _, entry = name.partition(".")
        values = joined(values, {table: {entry: value} if entry else value})
    return Measurements(values, tuple(ignored))


def write_measurements(folder: Path, weights_sha256: str, measured: Mapping[str, Any]) -> None:
    """Write measurements, each into a file of its own.

    Args:
        folder: Made where it is absent.
        weights_sha256: Of the file of weights.
        measured: Name -> JSON values; the entries of a table are written into a file each.

    Raises:
        UserError: The folder cannot be written.
    """
    recover(folder)
    header = {"format": FORMAT, "weights_sha256": weights_sha256, "written_by": protoexplain.__version__}
    for name, value in _named(measured):
        if not _NAME.fullmatch(name):
            raise ValueError(f"a measurement cannot be named '{name}'")
        content = json.dumps({**header, "value": finite(value)}, indent=1, allow_nan=False)
        write_file(folder / f"{name}{_ENDING}", content)


def joined(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of one name are joined by their keys; an entry is replaced as a whole, so that none is half old."""
    both = {name for name in old.keys() & new.keys() if isinstance(old[name], dict) and isinstance(new[name], dict)}
    return {**old, **new, **{name: {**old[name], **new[name]} for name in both}}


def without(known: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """The measurements that are not known yet with just these values."""
    news = {}
    for name, value in measured.items():
        old = known.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            news[name] = {entry: v for entry, v in value.items() if entry not in old or old[entry] != v}
        elif old != value or name not in known:
            news[name] = value
    return news


def _named(measured: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(name of a file, value) of each measurement."""
    for table, value in measured.items():
        if isinstance(value, Mapping):
            yield from ((f"{table}.{entry}", one) for entry, one in value.items())
        else:
            yield table, value


def _read(path: Path, weights_sha256: str) -> Any:  # noqa: ANN401
    """The value in a file.

    Raises:
        UserError: It does not count, and why.
    """
    if not os.path.isfile(path):
        raise UserError("it is not a plain file", str(path))
    if not _NAME.fullmatch(path.name.removesuffix(_ENDING)):
        raise UserError("it is not named after a measurement", str(path))
    content = read_json_table(path)
    if content.get("format") != FORMAT:
        raise UserError(f"it is no measurement of format {FORMAT}", str(path))
    if content.get("weights_sha256") != weights_sha256:
        raise UserError("other weights were measured", str(path))
    if "value" not in content:
        raise UserError("it holds no value", str(path))
    return content["value"]
