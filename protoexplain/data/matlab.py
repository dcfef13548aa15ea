"""Read the MATLAB files in which some data sets publish their annotations.

Level 5 of the format alone, of which the published files are ("MAT-File Format", The MathWorks, 1999): numbers, texts,
cells and structures.  Every length is checked before it is believed, so that a damaged file ends with an error; readers
in C were seen to end the program instead.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from protoexplain.errors import UserError
from protoexplain.io.manifest import read_limited

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CELL, _STRUCTURE, _TEXT, _FIRST_NUMBER, _LAST_NUMBER = 1, 2, 4, 6, 15
_MOST_BYTES = 1 << 28
"""Of a file, and of one array, unpacked; the largest published one has 3 MB."""
_DEEPEST = 16


def read_mat(path: Path, *keys: str) -> list[np.ndarray]:
    """The named arrays of a file, each flattened to one dimension.

    Structures have a field of dtype object for each of theirs; single numbers and texts in them and in cells are plain
    values.

    Raises:
        UserError: Not a MATLAB file, or one of the arrays is not in it.
    """
    try:
        content = _arrays(read_limited(path, _MOST_BYTES), keys)
    except (OSError, ValueError, TypeError, zlib.error) as error:
        what = f"this is no MATLAB file that can be read ({error})"
        raise UserError(what, str(path), "copy the file again from the original") from error
    missing = [key for key in keys if key not in content]
    if missing:
        raise UserError(f"the file has no '{missing[0]}'", str(path), "copy the file again from the original")
    return [content[key] for key in keys]


def fields(rows: np.ndarray, names: tuple[str, ...], path: Path) -> list[list[Any]]:
    """Columns of a structure array by name, as plain Python values.

    Raises:
        UserError: A field is missing.
    """
    known = rows.dtype.names or ()
    missing = [name for name in names if name not in known]
    if missing:
        what = f"the annotations have no field '{missing[0]}', only {', '.join(known) or 'plain values'}"
        raise UserError(what, str(path), "copy the file again from the original")
    return [list(rows[name]) for name in names]


def _arrays(data: bytes, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of these names in the bytes of a file."""
    order = {b"IM": "<", b"MI": ">"}.get(data[126:_HEADER])
    if order is None:
        raise ValueError("no file of level 5")
    found, at = {}, _HEADER
    while at < len(data):
        reader = _Reader(data, order)
        kind, start, end, at = reader.element(at, len(data))
        if kind == _COMPRESSED:
            unpacked = zlib.decompressobj().decompress(data[start:end], _MOST_BYTES)
            reader = _Reader(unpacked, order)
            kind, start, end, _ = reader.element(0, len(unpacked))
        if kind == _MATRIX and end > start:
            name, value = reader.matrix(start, end, keys)
            if name in keys:
                found[name] = value
    return found


class _Reader:
    """Reads elements, each of a tag and data, and refuses those that reach beyond what holds them.

    Args:
        data: The bytes.
        order: Of the bytes in numbers, ``<`` or ``>``.
    """

    def __init__(self, data: bytes, order: str) -> None:
        self._data, self._order = data, "little" if order == "<" else "big"
        self._types = {kind: np.dtype(order + name) for kind, name in _NUMBERS.items()}

    def element(self, at: int, limit: int) -> tuple[int, int, int, int]:
        """Kind, beginning and end of the data of the element at a place, and the place of the next one."""
        if at + 8 > limit:
            raise ValueError("the file is cut off")
        kind, size, start = self._word(at), self._word(at + 4), at + 8
        if kind >> 16:
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
        end = start + size
        if end > limit or (start == at + 4 and size > 4):
            raise ValueError("a length is beyond the file")
        if start == at + 4:
            return kind, start, end, at + 8
        return kind, start, end, end if kind == _COMPRESSED else min(end + -size % 8, limit)

    def matrix(self, at: int, limit: int, keys: tuple[str, ...] = (), depth: int = 0) -> tuple[str, Any]:
        """Name and values of a matrix; where keys are given, the values of these alone."""
        if depth > _DEEPEST:
            raise ValueError("arrays are nested too deeply")
        _, start, end, at = self.element(at, limit)
        if end - start != 8:
            raise ValueError("the flags of an array are damaged")
        kind = self._word(start) & 0xFF
        sizes, at = self._numbers(at, limit)
        text, at = self._text(at, limit)
        shape = [int(size) for size in sizes]
        count = math.prod(shape)
        if count < 0 or count > limit:
            raise ValueError("the size of an array is impossible")
        if keys and text not in keys:
            return text, None
        if kind == _CELL:
            return text, _objects(self._values(at, limit, count, depth)[0])
        if kind == _STRUCTURE:
            return text, self._structure(at, limit, count, depth)
        if kind == _TEXT:
            return text, np.array([self._text(at, limit)[0]], dtype=object)
        if not _FIRST_NUMBER <= kind <= _LAST_NUMBER:
            raise ValueError(f"arrays of kind {kind} are not read")
        return text, self._numbers(at, limit)[0]

    def _structure(self, at: int, limit: int, count: int, depth: int) -> np.ndarray:
        """Structured array [count] with a field of objects for each name."""
        lengths, at = self._numbers(at, limit)
        _, start, end, at = self.element(at, limit)
        length = int(lengths[0]) if len(lengths) else 0
        if length < 1:
            raise ValueError("the names of fields are damaged")
        raw = [self._data[place : place + length] for place in range(start, end, length)]
        names = [name.partition(b"\0")[0].decode() for name in raw]
        values, _ = self._values(at, limit, count * len(names), depth)
        rows = np.empty(count, dtype=[(name, object) for name in names])
        for place, name in enumerate(names):
            rows[name] = _objects(values[place :: len(names)])
        return rows

    def _values(self, at: int, limit: int, count: int, depth: int) -> tuple[list[Any], int]:
        """So many matrices one after another, those of a single value as this value."""
        values = []
        for _ in range(count):
            kind, start, end, at = self.element(at, limit)
            if kind != _MATRIX:
                raise ValueError("a part of an array is damaged")
            value = self.matrix(start, end, depth=depth + 1)[1] if end > start else np.empty(0)
            values.append(value.tolist()[0] if value.size == 1 and value.dtype.names is None else value)
        return values, at

    def _numbers(self, at: int, limit: int) -> tuple[np.ndarray, int]:
        kind, start, end, after = self.element(at, limit)
        if kind not in self._types:
            raise ValueError(f"numbers of kind {kind} are not read")
        return np.frombuffer(self._data[start:end], self._types[kind]), after

    def _text(self, at: int, limit: int) -> tuple[str, int]:
        kind, start, end, after = self.element(at, limit)
        if kind not in _TEXTS:
            raise ValueError(f"texts of kind {kind} are not read")
        wide = {"utf-16": f"utf-16-{self._order[0]}e", "utf-32": f"utf-32-{self._order[0]}e"}
        return self._data[start:end].decode(wide.get(_TEXTS[kind], _TEXTS[kind])), after

    def _word(self, at: int) -> int:
        return int.from_bytes(self._data[at : at + 4], self._order)  # type: ignore[arg-type]


def _objects(values: list[Any]) -> np.ndarray:
    """Object array [n], whatever the values are."""
    array = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        array[place] = value
    return array
