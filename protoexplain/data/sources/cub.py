"""CUB-200-2011 layout (Wah et al., 2011): tables of `<id> <values>` lines beside `images/`.

What concerns one image (no label, missing file, a line that cannot be used) leaves it out and is counted.  Ids may be
numbers or any other words, as in NABirds, which has the same tables.  Boxes are `x y width height`; coordinates count
from 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Generic, TypeVar

from protoexplain.data.geometry import Box
from protoexplain.data.records import ImageRecord, ImageSet, Split
from protoexplain.data.source import Problems, Source, annotated_box, image_id, listed_file, plain_name
from protoexplain.errors import UserError

T = TypeVar("T")
Parts = dict[str, tuple[float, float] | None]
_NEEDED = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt")
_SPLITS: dict[str, Split] = {"0": "test", "1": "train"}
_GET = "unpack the whole archive, or copy this file again from the original"


@dataclass(frozen=True)
class _Table(Generic[T]):
    """What a table says by id, and for each id with a line that cannot be used the number of that line and why."""

    name: str
    values: dict[str, T]
    faults: dict[str, str]

    def __contains__(self, id_: str) -> bool:
        return id_ in self.values or id_ in self.faults


def _base(root: Path) -> Path | None:
    """The folder of the tables: the given one, or the one that the published archive makes inside it."""
    candidates = (root, root / "CUB_200_2011")
    return next((folder for folder in candidates if (folder / "images.txt").is_file()), None)


def read(root: Path, seed: int = 0) -> ImageSet:
    """Read the tables.  The published split is used, so the seed has no effect.

    Raises:
        UserError: A table is missing or has a line that cannot be understood; no image is left.
    """
    base = _base(root) or root
    missing = [name for name in _NEEDED if not (base / name).is_file()]
    if missing or not (base / "images").is_dir():
        raise UserError(
            f"not found: {', '.join(missing) or 'images/'}", str(base), f"{_GET}; expected {SOURCE.expected}"
        )
    problems = Problems()
    files = _table(base / "images.txt", 1, lambda values: values[0], text=True)
    names = _table(base / "classes.txt", 1, lambda values: values[0], text=True)
    numbers = _table(base / "image_class_labels.txt", 1, lambda values: _known(values[0], names.values))
    splits = _table(base / "train_test_split.txt", 1, lambda values: _SPLITS[_id(values[0])])
    boxes = _optional(base / "bounding_boxes.txt", 4, _box)
    part_names, parts = _parts(base, files, problems)
    tables: list[_Table[str] | _Table[Split] | _Table[Box]] = [numbers, splits, *([boxes] if boxes else [])]
    for table in tables:
        for id_ in (*table.values, *table.faults):
            if id_ not in files:
                problems.add(f"lines of {table.name} about images that images.txt does not list", f"image {id_}")
    used = set(numbers.values.values())
    label_of = {number: label for label, number in enumerate(number for number in names.values if number in used)}
    for number in (number for number in names.values if number not in used):
        problems.add("classes of classes.txt without an image, left out", names.values[number])

    folders = set(names.values.values())
    masks = next(filter(Path.is_dir, (base / "segmentations", base.parent / "segmentations")), None)
    records = []
    for id_, fault in files.faults.items():
        problems.leave_out("lines of images.txt that cannot be used, left out", f"image {id_}, {fault}")
    for id_, file in files.values.items():
        if not _is_annotated(id_, file, tables, problems):
            continue
        folder, name = PureWindowsPath(file).parent.name, names.values[numbers.values[id_]]
        if folder in folders and folder != name:
            problems.leave_out("images with another label than their folder, left out", f"{file}: '{name}'")
            continue
        path = listed_file(base / "images", file)
        if path is None:
            problems.add("images listed but not found, left out", file)
            continue
        box = boxes.values[id_] if boxes else None
        spots = parts.get(id_, dict.fromkeys(part_names)) if part_names else None
        if box and spots and any(spot and not _touches(box, spot) for spot in spots.values()):
            problems.add("images with a part outside the box, kept as annotated", file)
        mask = listed_file(masks, str(Path(file).with_suffix(".png"))) if masks else None
        label, split = label_of[numbers.values[id_]], splits.values[id_]
        records.append(ImageRecord(image_id(path, base), path, label, split, box, spots, mask))
    problems.require_few(len(files.values) + len(files.faults), base, _GET)
    if not records:
        what = f"none of the {len(files.values)} listed images is there"
        raise UserError(what, str(base / "images"), _GET)
    classes = _class_names([names.values[number] for number in label_of])
    return ImageSet(base.name, base, "cub", classes, tuple(records), part_names, problems.sentences())


def _is_annotated(
    id_: str, file: str, tables: Sequence[_Table[str] | _Table[Split] | _Table[Box]], problems: Problems
) -> bool:
    """Whether all tables have a line for an image that can be used; the first that has none is told."""
    for table in tables:
        if id_ in table.faults:
            kind = f"images whose line in {table.name} cannot be used, left out"
            problems.leave_out(kind, f"{file}, {table.faults[id_]}")
            return False
        if id_ not in table.values:
            problems.leave_out(f"images without a line in {table.name}, left out", file)
            return False
    return True


def _class_names(folders: list[str]) -> tuple[str, ...]:
    """``001.Black_footed_Albatross`` -> ``Black footed Albatross``, unless two names would be equal."""
    names = [plain_name(re.sub(r"^\d+\.", "", folder) or folder) for folder in folders]
    return tuple(names if len(set(names)) == len(names) else map(plain_name, folders))


def _box(values: list[str]) -> Box:
    x, y, width, height = map(float, values)
    return annotated_box(x, y, x + width, y + height)


def _known(number: str, names: dict[str, str]) -> str:
    if _id(number) not in names:
        raise ValueError("no such class in classes.txt")
    return _id(number)


def _id(text: str) -> str:
    """An id as in all tables: numbers without zeros before them, or a fraction of zeros as other programs write it."""
    whole = re.sub(r"\.0+$", "", text)
    return (whole.lstrip("0") or "0") if whole.isdecimal() else text


def _touches(box: Box, spot: tuple[float, float]) -> bool:
    return box.x0 <= spot[0] <= box.x1 and box.y0 <= spot[1] <= box.y1


def _parts(base: Path, files: _Table[str], problems: Problems) -> tuple[tuple[str, ...], dict[str, Parts]]:
    """Part names in published order, and where each image shows them (None where it does not)."""
    names = _optional(base / "parts" / "parts.txt", 1, lambda values: values[0], text=True)
    path = base / "parts" / "part_locs.txt"
    if names is None or not path.is_file():
        return (), {}
    known = tuple(dict.fromkeys(names.values.values()))
    parts: dict[str, Parts] = {}
    lines, faults = _lines(path), Problems()
    for line, id_, values in lines:
        try:
            part, spot = _location(values)
        except ValueError as error:
            faults.leave_out("lines of part_locs.txt that cannot be used, left out", f"line {line}: {error}")
            continue
        if id_ in files.values and part in names.values:
            parts.setdefault(id_, dict.fromkeys(known))[names.values[part]] = spot
        else:
            problems.add("lines of part_locs.txt about unlisted images or parts", f"line {line}")
    faults.require_few(len(lines), path, _GET)
    problems.examples |= faults.examples
    return known, parts


def _location(values: list[str]) -> tuple[str, tuple[float, float] | None]:
    part, x, y, shown = values
    if not math.isfinite(float(x) + float(y)):
        raise ValueError("the place is not finite")
    return _id(part), (float(x), float(y)) if float(shown) else None


def _optional(path: Path, columns: int, parse: Callable[[list[str]], T], text: bool = False) -> _Table[T] | None:
    return _table(path, columns, parse, text) if path.is_file() else None


def _table(path: Path, columns: int, parse: Callable[[list[str]], T], text: bool = False) -> _Table[T]:
    """Lines `<id> <columns>` by id; with `text` the single column may hold spaces."""
    table: _Table[T] = _Table(path.name, {}, {})
    for line, id_, values in _lines(path, text):
        try:
            if id_ in table:
                raise ValueError("the id comes twice")
            if len(values) != columns:
                raise ValueError(f"{columns} value{'s' * (columns > 1)} expected")
            table.values[id_] = parse(values)
        except (ValueError, KeyError) as error:
            reason = "unknown value" if isinstance(error, KeyError) else str(error)
            table.values.pop(id_, None)
            table.faults[id_] = f"line {line} '{' '.join(values)[:60]}': {reason}"
    return table


def _lines(path: Path, text: bool = False) -> list[tuple[int, str, list[str]]]:
    """(line number, id, values) of every line that is not blank; any line ending."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the table cannot be read: {error}", str(path), _GET) from error
    rows = ((line, row.split(maxsplit=1 if text else -1)) for line, row in enumerate(content.split("\n"), 1))
    return [(line, _id(row[0]), [value.strip() for value in row[1:]]) for line, row in rows if row]


SOURCE = Source(
    "cub",
    lambda root: _base(root) is not None,
    read,
    "images/, images.txt, image_class_labels.txt, train_test_split.txt, classes.txt (CUB-200-2011)",
)
