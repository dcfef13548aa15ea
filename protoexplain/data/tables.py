"""Tables of pictures: CSV or TSV files with a line for each, read by the names of their columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from protoexplain.data.splits import split_named
from protoexplain.data.tree import folders
from protoexplain.errors import UserError
from protoexplain.io.left_behind import is_left_behind

SUFFIXES = (".csv", ".tsv", ".tab")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "file": (
        "file", "filename", "filepath", "path", "image", "imagefile", "imagename", "imagepath", "imageid", "img", "id",
    ),
    "label": (
        "classname", "labelname", "label", "class", "category", "species", "breed", "target", "diagnosis", "dx",
        "classid",
    ),
    "split": ("split", "set", "subset", "dataset", "partition"),
}  # fmt: skip
"""What a column may be called, the first that is there; case, spaces, ``_``, ``-``, ``.`` and a plural ``s`` do not
count."""
BOXES = (
    ("x1", "y1", "x2", "y2"), ("x0", "y0", "x1", "y1"), ("xmin", "ymin", "xmax", "ymax"),
    ("left", "top", "right", "bottom"), ("x", "y", "w", "h"), ("x", "y", "width", "height"),
    ("left", "top", "width", "height"),
)  # fmt: skip
"""Columns of a box, with or without ``box``, ``bbox`` or ``roi`` before them: corners, or a corner and the sides."""
_BEFORE = re.compile(r"\s*(?:$|#|sep=)", re.IGNORECASE)
_DELIMITERS = ",;\t|"
_LONGEST_LINE = 1_000_000
BEYOND = "beyond"
"""Role of values for which there is no column, as where a comma is not quoted."""
_OTHER_TABLES = (".xlsx", ".xls", ".ods", ".json", ".jsonl", ".parquet", ".xml")


@dataclass(frozen=True)
class ImageTable:
    """A table that can be read.

    Args:
        path: The file.
        columns: Role (``file``, ``label``, ``split``, ``x0`` ... ``h``) -> place in a line.
        box: Names of the columns of the box as in `BOXES`; empty without one.
        delimiter: Between values.
        split: Of all its lines, where the name of the file or of its folder says so.
        unused: Names of the other columns.
        before: Number of lines before that of the names of columns.
    """

    path: Path
    columns: Mapping[str, int]
    box: tuple[str, ...]
    delimiter: str
    split: str = ""
    unused: tuple[str, ...] = ()
    before: int = 0

    def lines(self) -> Iterator[tuple[int, dict[str, str]]]:
        """The number of each line that is not blank, and its values by role; missing values are empty, and `BEYOND`
        holds those that no column is for.

        Raises:
            UserError: The file cannot be read on; names the line.
        """
        lines = islice(_text(self.path), self.before, None)
        reader = csv.reader(lines, delimiter=self.delimiter, skipinitialspace=True)
        width = 0
        try:
            for row in reader:
                if width and any(map(str.strip, row)):
                    values = {role: row[at].strip() if at < len(row) else "" for role, at in self.columns.items()}
                    yield self.before + reader.line_num, {**values, BEYOND: " ".join(row[width:]).strip()}
                width = width or len(row)
        except (csv.Error, UnicodeError, OSError) as error:
            reason = "not text in UTF-8" if isinstance(error, UnicodeError) else str(error)
            where = f"{self.path}, line {self.before + reader.line_num + (not isinstance(error, csv.Error))}"
            raise UserError(f"the table cannot be read: {reason}", where, "save it again as CSV in UTF-8") from error


def tables_in(folder: Path) -> list[ImageTable]:
    """The tables directly in a folder that have a column for the file and one for the label, by name; where there is
    none, those in its folders of splits."""
    inner = [(path, split) for path in folders(folder) if (split := split_named(path.name))]
    return _tables(folder) or [replace(table, split=split) for path, split in inner for table in _tables(path)]


def _tables(folder: Path) -> list[ImageTable]:
    found = [table for path in _files(folder, SUFFIXES) if isinstance(table := _table(path), ImageTable)]
    return [table for table in found if not table.path.stem.casefold().startswith("sample_submission")]


def lacking_columns(folder: Path) -> list[str]:
    """For each table in a folder that cannot be read as one of pictures, a sentence with the reason."""
    tables = [_table(path) for path in _files(folder, SUFFIXES)]
    reasons = [
        f"most of the pictures that {table.path.name} names are not here" if isinstance(table, ImageTable) else table
        for table in tables
    ]
    others = [f"{path.name} is not read, only tables in CSV or TSV are" for path in _files(folder, _OTHER_TABLES)]
    return reasons + others[:3]


def _files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not is_left_behind(path.name) and path.is_file()
    )


def _table(path: Path) -> ImageTable | str:
    """A table by its first line that is neither blank, a comment nor a spreadsheet's ``sep=;``, or why it is none."""
    try:
        lines = enumerate(_text(path))
        before, first = next((entry for entry in lines if not _BEFORE.match(entry[1])), (0, ""))
    except (UnicodeError, OSError):
        return f"{path.name} is not text in UTF-8"
    delimiter = "\t" if path.suffix.lower() != ".csv" else max(_DELIMITERS, key=first.count)
    try:
        names = next(csv.reader([first], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return f"{path.name} has no line of column names"
    places = {_plain(name): place for place, name in reversed(list(enumerate(names)))}
    columns = {role: place for role, known in COLUMNS.items() if (place := _first(known, places)) is not None}
    for role in ("file", "label"):
        if role not in columns:
            known = ", ".join(COLUMNS[role][:4])
            return f"{path.name} has no column for the {role} ({known}, ...), only {', '.join(names)[:200]}"
    unboxed = {re.sub(r"^(bounding)?(b?box|roi)?", "", name): place for name, place in places.items()}
    box = next((names for names in BOXES if all(name in unboxed for name in names)), ())
    columns |= {name: unboxed[name] for name in box}
    unused = [name.strip() for place, name in enumerate(names) if name.strip() and place not in columns.values()]
    return ImageTable(path, columns, box, delimiter, split_named(_stem(path)) or "", tuple(unused), before)


def _first(known: tuple[str, ...], places: Mapping[str, int]) -> int | None:
    return next((places[name] for one in known for name in (one, f"{one}s") if name in places), None)


def _plain(name: str) -> str:
    """A column's name without what does not count."""
    return re.sub(r"[\s_.-]", "", name.casefold())


def _stem(path: Path) -> str:
    return re.sub(r"[ _-](labels?|annotations?|metadata)$", "", path.stem.casefold())


def _text(path: Path) -> Iterator[str]:
    """The lines of a text in UTF-8, or in UTF-16 where it begins with a mark that says so; of any line ends."""
    with path.open("rb") as stream:
        head = stream.read(_LONGEST_LINE)
        stream.seek(0)
        wide, old = head.startswith((b"\xff\xfe", b"\xfe\xff")), b"\r" in head and b"\n" not in head
        for number, line in enumerate(() if wide or old else iter(lambda: stream.readline(_LONGEST_LINE), b"")):
            yield line.decode("utf-8" if number else "utf-8-sig")
    if wide or old:
        with path.open(encoding="utf-16" if wide else "utf-8-sig", newline="") as file:
            yield from file
