"""Pictures in any folders with a table beside them: a line for each with its file and class, maybe its split and box.

`protoexplain.data.tables` says how columns may be called.  Names of splits are those of folders.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path, PureWindowsPath

from protoexplain.data.geometry import Box
from protoexplain.data.records import ImageRecord, ImageSet
from protoexplain.data.source import Problems, Source, annotated_box, class_names, image_id, is_storable, listed_file
from protoexplain.data.splits import completed, split_named
from protoexplain.data.tables import BEYOND, ImageTable, tables_in
from protoexplain.data.tree import files, holds_picture, is_picture
from protoexplain.errors import UserError

_PROBED = 20
_MISSING = ("", "nan", "NaN", "<NA>")
"""Labels that programs write for none."""
_MEND = "mend these lines, or leave them out"


@dataclass
class _Pictures:
    """Finds the files that a table names, also where it leaves out folders and suffix or names those of elsewhere."""

    root: Path

    @cached_property
    def by_name(self) -> Mapping[str, list[Path]]:
        found: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(filter(is_picture, files(self.root))):
            for name in {path.name.casefold(), path.stem.casefold()}:
                found[name].append(path)
        return found

    def find(self, name: str, split: str) -> Path | None:
        path = listed_file(self.root, name)
        if path is None and "\0" not in name:
            found = self.by_name.get(PureWindowsPath(name).name.casefold(), [])
            if len(found) > 1:
                found = [one for one in found if split in map(str, map(split_named, one.relative_to(self.root).parts))]
            path = found[0] if len(found) == 1 else None
        return path


def detect(root: Path) -> bool:
    """A table whose first lines name pictures that are there and classes that are not just the folders of these."""
    pictures = _Pictures(root)
    return any(_fits(table, pictures) for table in tables_in(root))


def _fits(table: ImageTable, pictures: _Pictures) -> bool:
    try:
        lines = list(islice(table.lines(), _PROBED))
    except UserError:
        return holds_picture(pictures.root, deep=False)
    files = [values for _, values in lines if values["file"]]
    found = [(pictures.find(values["file"], table.split), values) for values in files]
    there = [(path, values) for path, values in found if path is not None]
    inside = ((path.relative_to(pictures.root), values) for path, values in there)
    named = not table.box and all(_folder_is_split(path, values, table) for path, values in inside)
    return 2 * len(there) > len(found) and not (named and _names_folders(table, there))


def _folder_is_split(path: Path, values: Mapping[str, str], table: ImageTable) -> bool:
    """Whether the folders of a picture tell its split, if the table does."""
    split = split_named(values.get("split") or table.split)
    return split is None or split in map(split_named, path.parent.parts)


def _names_folders(table: ImageTable, there: Sequence[tuple[Path, Mapping[str, str]]]) -> bool:
    """Whether classes are the folders of pictures, by their names or as numbers for them."""
    if all(path.parent.name.casefold() == values["label"].casefold() for path, values in there):
        return True
    pairs = {(PureWindowsPath(values["file"]).parent.name, values["label"]) for _, values in table.lines()}
    folders, labels = ({pair[place] for pair in pairs} for place in (0, 1))
    return len(pairs) == len(folders) == len(labels) > 1 and all(map(str.isdecimal, labels))


def read(root: Path, seed: int = 0) -> ImageSet:
    """Read the lines; `seed` chooses the test images if the table names neither test nor validation images.

    Raises:
        UserError: No table or several; one that cannot be read; too many lines that cannot be used.
    """
    problems, pictures = Problems(), _Pictures(root)
    tables = _chosen(root, pictures)
    where = tables[0].path
    lines = [(table, number, values) for table in tables for number, values in table.lines()]
    remarks = [_not_used(table) for table in tables if _is_no_split([v for t, _, v in lines if t is table])]
    splitless = bool(remarks)
    remarks += [_unused(table) for table in tables if table.unused]
    boxed = any(_has_box(table, values) for table, _, values in lines)
    read_: dict[Path, tuple[str, str, Box | None]] = {}
    doubtful, unusable = set(), set()
    for table, number, values in lines:
        name = table.path.relative_to(root).as_posix()
        place = f"{name}, line {number}"
        split = values.get("split", "") if "split" in table.columns and not splitless else table.split or "train"
        try:
            label, part, box = _parsed(table, values, split, boxed)
        except ValueError as error:
            problems.leave_out("lines that cannot be used, left out", f"line {number} of {name}: {error}")
            unusable.add(pictures.find(values["file"], table.split))
            continue
        path = pictures.find(values["file"], part)
        if path is None:
            problems.add("images listed but not found, left out", ascii(values["file"])[1:-1])
        elif path not in read_:
            read_[path] = label, part, box
        elif read_[path][:2] == (label, part):
            problems.add("images with several lines, the first is used", place)
        else:
            problems.leave_out("images with lines that contradict each other, left out", place)
            doubtful.add(path)
    problems.require_few(len(lines), where, _MEND)
    boxes = [box for _, _, box in read_.values() if box]
    if boxes and max(edge for box in boxes for edge in box.as_list()) <= 1:
        what = "the boxes are shares of the image, from 0 to 1, where pixels are expected"
        raise UserError(what, str(where), "multiply them by the width and the height of their image")
    kept = {path: found for path, found in read_.items() if path not in doubtful}
    if not kept:
        raise UserError("none of the listed images is there", str(where), f"expected {SOURCE.expected}")
    classes = sorted({label for label, _, _ in kept.values()})
    records = [
        ImageRecord(image_id(path, root), path, classes.index(label), split_named(part) or "train", box)
        for path, (label, part, box) in kept.items()
    ]
    _tell_unlisted(pictures, read_.keys() | unusable, problems)
    completed_, drawn, remark = completed(records, seed)
    remarks += [remark] if remark else []
    title = root.resolve().name
    return ImageSet(
        title, root, "table", class_names(classes), completed_, (), problems.sentences(), drawn, tuple(remarks)
    )


def _chosen(root: Path, pictures: _Pictures) -> list[ImageTable]:
    """The table, or one for each split: ``train.csv``, ``val.csv`` and ``test.csv``."""
    tables = tables_in(root)
    splits = [table.split for table in tables if table.split]
    if "train" in splits and len(set(splits)) == len(splits):
        return [table for table in tables if table.split]
    fitting = tables if len(tables) < 2 else [table for table in tables if _fits(table, pictures)]
    if len(fitting) != 1:
        names = ", ".join(table.path.name for table in fitting or tables)
        what = f"several tables may be meant: {names}" if tables else "there is no table"
        raise UserError(what, str(root), f"leave one; expected {SOURCE.expected}")
    return fitting


def _parsed(table: ImageTable, values: Mapping[str, str], split: str, boxed: bool) -> tuple[str, str, Box | None]:
    """Label, name of the split and box of a line.

    Raises:
        ValueError: Says what is wrong.
    """
    if not values["file"] or values["label"] in _MISSING:
        raise ValueError(f"it names no {'class' if values['file'] else 'file'}")
    if not is_storable(values["label"]) or not is_storable(values["file"]):
        raise ValueError("it has control characters")
    if values[BEYOND]:
        raise ValueError(f"it has values beyond the columns: {values[BEYOND][:40]}")
    part = split_named(split)
    if part is None:
        raise ValueError(f"'{split[:40]}' is no split; known: train, val and test")
    return values["label"], part, _box(table, values) if boxed else None


def _box(table: ImageTable, values: Mapping[str, str]) -> Box:
    try:
        point = "," if table.delimiter == ";" else "."  # as spreadsheets write both where a comma begins a fraction
        first, second, third, fourth = (float(values[name].replace(point, ".")) for name in table.box)
    except ValueError as error:
        found = ", ".join(values[name] for name in table.box)
        raise ValueError(f"the box is not four numbers: {found[:60]}") from error
    sides = table.box[2] in ("w", "width")
    return annotated_box(first, second, first + third if sides else third, second + fourth if sides else fourth)


def _has_box(table: ImageTable, values: Mapping[str, str]) -> bool:
    return any(values[name] for name in table.box)


def _is_no_split(values: Sequence[Mapping[str, str]]) -> bool:
    """Whether there is a column for the split of which no value is a split: it then means something else."""
    named = [line["split"] for line in values if line.get("split")]
    return bool(named) and not any(map(split_named, named))


def _not_used(table: ImageTable) -> str:
    return f"the column of {table.path.name} that may be the split holds no name of one, so it is not used"


def _unused(table: ImageTable, shown: int = 8) -> str:
    more = ", ..." if len(table.unused) > shown else ""
    return f"columns of {table.path.name} that are not used: {', '.join(table.unused[:shown])}{more}"


def _tell_unlisted(pictures: _Pictures, listed: Collection[Path | None], problems: Problems) -> None:
    every = {path for found in pictures.by_name.values() for path in found}
    for path in sorted(every.difference(listed)):
        problems.add("images without a line in the table, left out", image_id(path, pictures.root))


SOURCE = Source(
    "table",
    detect,
    read,
    "a CSV or TSV file beside the images, with columns file and label, maybe split, and x, y, w, h or x1, y1, x2, y2",
)
