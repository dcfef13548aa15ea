"""CUB-200-2011 layout (Wah et al., 2011): tables of `<id> <values>` lines beside `images/`.

What concerns one image (no label, missing file) leaves it out and is counted; a line that cannot be used is
an error, because the whole table is in doubt.  Boxes are `x y width height`; coordinates count from 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

from protoexplain.data.geometry import Box
from protoexplain.data.records import ImageRecord, ImageSet, Split
from protoexplain.data.source import Problems, Source, image_id, listed_file, plain_name
from protoexplain.errors import UserError

T = TypeVar("T")
Parts = dict[str, tuple[float, float] | None]
_NEEDED = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt")
_SPLITS: dict[str, Split] = {"0": "test", "1": "train"}
_GET = "unpack the whole archive, or copy this file again from the original"


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
    label_of = {number: label for label, number in enumerate(names)}
    labels = _table(base / "image_class_labels.txt", 1, lambda values: label_of[int(values[0])])
    splits = _table(base / "train_test_split.txt", 1, lambda values: _SPLITS[values[0]])
    boxes = _optional(base / "bounding_boxes.txt", 4, _box)
    part_names, parts = _parts(base, files, problems)
    tables: dict[str, Collection[int]] = {"image_class_labels.txt": labels, "train_test_split.txt": splits}
    if boxes is not None:
        tables["bounding_boxes.txt"] = boxes
    for name, table in tables.items():
        for number in sorted(set(table) - files.keys()):
            problems.add(f"lines of {name} about images that images.txt does not list", f"image {number}")

    masks = next(filter(Path.is_dir, (base / "segmentations", base.parent / "segmentations")), None)
    records = []
    for number, file in files.items():
        lacking = next((name for name, table in tables.items() if number not in table), None)
        path = listed_file(base / "images", file)
        if lacking or path is None:
            fault = f"without a line in {lacking}" if lacking else "listed but not found"
            problems.add(f"images {fault}, left out", file)
            continue
        box = boxes[number] if boxes is not None else None
        spots = parts.get(number, dict.fromkeys(part_names)) if part_names else None
        if box and spots and any(spot and not _touches(box, spot) for spot in spots.values()):
            problems.add("images with a part outside the box, kept as annotated", file)
        mask = listed_file(masks, str(Path(file).with_suffix(".png"))) if masks else None
        id_ = image_id(path, base)
        records.append(ImageRecord(id_, path, labels[number], splits[number], box, spots, mask))
    if not records:
        raise UserError("none of the listed images is there", str(base / "images"), _GET)
    classes = _class_names(list(names.values()))
    return ImageSet(base.name, base, "cub", classes, tuple(records), part_names, problems.sentences())


def _class_names(folders: list[str]) -> tuple[str, ...]:
    """``001.Black_footed_Albatross`` -> ``Black footed Albatross``, unless two names would be equal."""
    names = [plain_name(folder.partition(".")[2] or folder) for folder in folders]
    return tuple(names if len(set(names)) == len(names) else map(plain_name, folders))


def _box(values: list[str]) -> Box:
    x, y, width, height = map(_number, values)
    if not (width > 0 and height > 0):
        raise ValueError("width and height must be positive")
    return Box(x, y, x + width, y + height)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


def _touches(box: Box, spot: tuple[float, float]) -> bool:
    return box.x0 <= spot[0] <= box.x1 and box.y0 <= spot[1] <= box.y1


def _parts(base: Path, files: dict[int, str], problems: Problems) -> tuple[tuple[str, ...], dict[int, Parts]]:
    """Part names in published order, and where each image shows them (None where it does not)."""
    names = _optional(base / "parts" / "parts.txt", 1, lambda values: values[0], text=True)
    path = base / "parts" / "part_locs.txt"
    if names is None or not path.is_file():
        return (), {}
    parts: dict[int, Parts] = {}
    for line, number, values in _lines(path, 4):
        part, spot = _parsed(path, line, values, _spot)
        if number in files and part in names:
            parts.setdefault(number, dict.fromkeys(names.values()))[names[part]] = spot
        else:
            problems.add("lines of part_locs.txt about unlisted images or parts", f"line {line}")
    return tuple(names.values()), parts


def _spot(values: list[str]) -> tuple[int, tuple[float, float] | None]:
    x, y = _number(values[1]), _number(values[2])
    return int(values[0]), (x, y) if int(values[3]) else None


def _optional(path: Path, columns: int, parse: Callable[[list[str]], T], text: bool = False) -> dict[int, T] | None:
    return _table(path, columns, parse, text) if path.is_file() else None


def _table(path: Path, columns: int, parse: Callable[[list[str]], T], text: bool = False) -> dict[int, T]:
    """Lines `<id> <columns>` by id; with `text` the single column may hold spaces."""
    table: dict[int, T] = {}
    for line, number, values in _lines(path, columns, text):
        if number in table:
            raise UserError(f"id {number} comes twice", f"{path}, line {line}", _GET)
        table[number] = _parsed(path, line, values, parse)
    return table


def _lines(path: Path, columns: int, text: bool = False) -> list[tuple[int, int, list[str]]]:
    """(line number, id, values) of every line that is not blank; any line ending."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the table cannot be read: {error}", str(path), _GET) from error
    rows = []
    for line, row in enumerate(content.split("\n"), 1):
        if row.strip():
            values = row.split(maxsplit=1 if text else -1)
            if len(values) != columns + 1 or not values[0].isdecimal():
                raise UserError(
                    f"expected an id and {columns} value{'s' * (columns > 1)}, found '{row.strip()[:60]}'",
                    f"{path}, line {line}", _GET,
                )  # fmt: skip
            rows.append((line, int(values[0]), [value.strip() for value in values[1:]]))
    return rows


def _parsed(path: Path, line: int, values: list[str], parse: Callable[[list[str]], T]) -> T:
    try:
        return parse(values)
    except (ValueError, KeyError) as error:
        reason = "unknown value" if isinstance(error, KeyError) else str(error)
        raise UserError(f"cannot use '{' '.join(values)[:60]}': {reason}", f"{path}, line {line}", _GET) from error


SOURCE = Source(
    "cub",
    lambda root: _base(root) is not None,
    read,
    "images/, images.txt, image_class_labels.txt, train_test_split.txt, classes.txt (CUB-200-2011)",
)
