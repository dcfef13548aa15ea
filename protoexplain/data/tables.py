"""Tables of pictures: CSV or TSV files with a line for each, read by the names of their columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from protoexplain.data.splits import split_named
from protoexplain.data.tree import is_left_behind
from protoexplain.errors import UserError

SUFFIXES = (".csv", ".tsv", ".tab")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "file": (
        "file", "filename", "filepath", "path", "image", "imagefile", "imagename", "imagepath", "imageid", "img", "id",
    ),
    "label": ("label", "class", "classname", "category", "species", "breed", "target", "diagnosis", "dx"),
    "split": ("split", "set", "subset", "dataset", "partition"),
}  # fmt: skip
"""What a column may be called; case, spaces, ``_``, ``-`` and a plural ``s`` do not count.  The first that is there."""
BOXES = (
    ("x1", "y1", "x2", "y2"), ("x0", "y0", "x1", "y1"), ("xmin", "ymin", "xmax", "ymax"),
    ("left", "top", "right", "bottom"), ("x", "y", "w", "h"), ("x", "y", "width", "height"),
    ("left", "top", "width", "height"),
)  # fmt: skip
"""Columns of a box, with or without ``box`` or ``bbox`` before them: corners, or a corner and the sides."""
_DELIMITERS = ",;\t|"
_LONGEST_LINE = 1_000_000


@dataclass(frozen=True)
class ImageTable:
    """A table that can be read.

    Args:
        path: The file.
        columns: Role (``file``, ``label``, ``split``, ``x0`` ... ``h``) -> place in a line.
        box: Names of the columns of the box as in `BOXES`; empty without one.
        delimiter: Between values.
        split: Of all its lines, where the name of the file says so.
    """

    path: Path
    columns: Mapping[str, int]
    box: tuple[str, ...]
    delimiter: str
    split: str = ""

    def lines(self) -> Iterator[tuple[int, dict[str, str]]]:
        """The number of each line that is not blank, and its values by role; missing values are empty.

        Raises:
            UserError: The file cannot be read on; names the line.
        """
        reader = csv.reader(_text(self.path), delimiter=self.delimiter)
        try:
            for number, row in enumerate(reader):
                if number and any(map(str.strip, row)):
                    yield (
                        reader.line_num,
                        {role: row[place].strip() if place < len(row) else "" for role, place in self.columns.items()},
                    )
        except (csv.Error, UnicodeError, OSError) as error:
            reason = "not text in UTF-8" if isinstance(error, UnicodeError) else str(error)
            where = f"{self.path}, line {reader.line_num + (not isinstance(error, csv.Error))}"
            raise UserError(f"the table cannot be read: {reason}", where, "save it again as CSV in UTF-8") from error


def tables_in(folder: Path) -> list[ImageTable]:
    """The tables directly in a folder that have a column for the file and one for the label, by name."""
    found = [table for path in _files(folder) if isinstance(table := _table(path), ImageTable)]
    return [table for table in found if not table.path.stem.casefold().startswith("sample_submission")]


def lacking_columns(folder: Path) -> list[str]:
    """For each table in a folder that cannot be read as one of pictures, a sentence with the reason."""
    return [reason for path in _files(folder) if isinstance(reason := _table(path), str)]


def _files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not is_left_behind(path.name) and path.is_file()
    )


def _table(path: Path) -> ImageTable | str:
    """A table by its first line, or why it is none."""
    try:
        first = next(_text(path), "")
    except (UnicodeError, OSError):
        return f"{path.name} is not text in UTF-8"
    delimiter = "\t" if path.suffix.lower() != ".csv" else max(_DELIMITERS, key=first.count)
    try:
        names = next(csv.reader([first], delimiter=delimiter), [])
    except csv.Error:
        return f"{path.name} has no line of column names"
    places = {_plain(name): place for place, name in reversed(list(enumerate(names)))}
    columns = {role: place for role, known in COLUMNS.items() if (place := _first(known, places)) is not None}
    for role in ("file", "label"):
        if role not in columns:
            known = ", ".join(COLUMNS[role][:4])
            return f"{path.name} has no column for the {role} ({known}, ...), only {', '.join(names)[:200]}"
    unboxed = {re.sub(r"^(bounding)?(b?box)?", "", name): place for name, place in places.items()}
    box = next((names for names in BOXES if all(name in unboxed for name in names)), ())
    return ImageTable(
        path, columns | {name: unboxed[name] for name in box}, box, delimiter, split_named(_stem(path)) or ""
    )


def _first(known: tuple[str, ...], places: Mapping[str, int]) -> int | None:
    return next((places[name] for one in known for name in (one, f"{one}s") if name in places), None)


def _plain(name: str) -> str:
    """A column's name without what does not count."""
    return re.sub(r"[\s_-]", "", name.casefold())


def _stem(path: Path) -> str:
    return re.sub(r"[ _-](labels?|annotations?|metadata)$", "", path.stem.casefold())


def _text(path: Path) -> Iterator[str]:
    """The lines of a text in UTF-8, or in UTF-16 where it begins with a mark that says so."""
    with path.open("rb") as stream:
        wide = stream.read(2) in (b"\xff\xfe", b"\xfe\xff")
        stream.seek(0)
        for number, line in enumerate(() if wide else iter(lambda: stream.readline(_LONGEST_LINE), b"")):
            yield line.decode("utf-8" if number else "utf-8-sig")
    if wide:
        with path.open(encoding="utf-16", newline="") as file:
            yield from file
