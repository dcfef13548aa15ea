"""FunnyBirds (Hesse et al. 2023) on disk: scenes, classes, colours of part maps, and images without parts.

Both the published layout and small sets with the same folders and names are read; these may hold JPEG pictures, and
list their scenes in ``scenes.jsonl`` in place of ``dataset_test.json``.  An image without parts is named by the parts
that are left, ``body_beak_wing``; images that are missing are not at hand.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protoexplain.data.class_parts import ClassParts, PartContrast, members_of
from protoexplain.data.interventions import PartMap, Removal
from protoexplain.data.records import ImageRecord
from protoexplain.data.source import Problems
from protoexplain.errors import UserError
from protoexplain.io.images import load_image

SUFFIXES = (".png", ".jpg")
CHANGED, MAPS = "test_interventions", "test_part_map"
_SIDES = {
    "beak": ((255, 255, 0),),
    "eye": ((255, 255, 253), (255, 255, 254)),
    "foot": ((255, 0, 1), (255, 0, 2)),
    "tail": ((0, 0, 255),),
    "wing": ((0, 255, 1), (0, 255, 2)),
}
_OBJECT = (204, 204, 204)
"""Colour of the first object of the background; the blue channel counts on."""
_AGAIN = "unpack the whole archive, or copy this file again from the original"


@dataclass(frozen=True)
class Scene:
    """One image, by its class and its number within the split, and how many objects its background has."""

    label: int
    number: int
    objects: int

    @property
    def folder(self) -> str:
        """Its place below the folders of the data set, without ending."""
        return f"{self.label}/{self.number:06}"


def read_json(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """The content of a JSON file.

    Raises:
        UserError: It cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"the file cannot be read: {error}", str(path), _AGAIN) from error


def read_scenes(root: Path, split: str, problems: Problems | None = None) -> list[Scene]:
    """The scenes that a data set lists for a split, ``train`` or ``test``; none where it has no list.

    Args:
        root: Folder of the data set.
        split: Of the list.
        problems: Told of the entries that cannot be used, which are left out.

    Raises:
        UserError: The list cannot be read, or too many of its entries cannot be used.
    """
    listed, some = root / f"dataset_{split}.json", root / "scenes.jsonl"
    faults = problems or Problems()
    scenes, before = [], faults.unusable.total()
    entries = list(enumerate(_entries(listed, some, split)))
    for number, entry in entries:
        try:
            scenes.append(entry if isinstance(entry, Scene) else _scene(entry, number))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            faults.leave_out("scenes that cannot be used, left out", f"entry {number} of {split}: {error!r}")
    if faults.unusable.total() > before:
        faults.require_few(len(entries), root, _AGAIN)
    return scenes


def _entries(listed: Path, some: Path, split: str) -> list[Any]:
    if listed.is_file():
        entries = read_json(listed)
        if not isinstance(entries, list):
            raise UserError("the file holds no list of scenes", str(listed), _AGAIN)
        return entries
    if split == "test" and some.is_file():
        return [_line(text) for text in _lines(some) if text.strip()]
    return []


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"the list of scenes cannot be used: {error}", str(path), _AGAIN) from error


def _line(text: str) -> Any:  # noqa: ANN401 - a scene, or whatever the line holds
    try:
        line = json.loads(text)
        return _scene(line["parameters"], int(line["image_idx"]))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        return text[:60]


def _scene(parameters: dict[str, Any], number: int) -> Scene:
    objects = [part for part in str(parameters.get("bg_objects", "")).split(",") if part]
    return Scene(int(parameters["class_idx"]), number, len(objects))


def read_class_parts(root: Path) -> ClassParts:
    """The variants that classes are made of.

    Raises:
        UserError: The tables cannot be read.
    """
    classes, parts = read_json(root / "classes.json"), read_json(root / "parts.json")
    try:
        rows = sorted(classes, key=lambda entry: int(entry["class_idx"]))
        variants = tuple(tuple(int(row["parts"][part]) for part in parts) for row in rows)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"the table of classes cannot be used: {error!r}", str(root / "classes.json"), _AGAIN
        ) from error
    if unknown := [part for part in parts if not isinstance(part, str) or part not in _SIDES]:
        raise UserError(f"there is no part '{unknown[0]}'", str(root / "parts.json"), _AGAIN)
    return ClassParts(tuple(parts), variants)


def picture(folder: Path, name: str) -> Path | None:
    """The file of a picture without ending, if it is there."""
    return next((path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()), None)


def read_labels(path: Path, colours: list[tuple[int, int, int]]) -> NDArray[np.uint8]:
    """uint8 [H,W]: from 1 the number of the colour of each pixel of a part map, 0 for any other colour."""
    rgb = load_image(path).rgb.astype(np.int64)
    code = (rgb[..., 0] << 16) | (rgb[..., 1] << 8) | rgb[..., 2]
    labels = np.zeros(code.shape, np.uint8)
    for number, (red, green, blue) in enumerate(colours, 1):
        labels[code == (red << 16 | green << 8 | blue)] = number
    return labels


class FunnyBirdsInterventions:
    """The images without parts and without objects that a folder holds.

    Args:
        root: Folder of the data set.

    Raises:
        UserError: Its tables cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.class_parts = read_class_parts(root)
        self._scenes = {scene.folder: scene for scene in read_scenes(root, "test")}

    @cached_property
    def most_objects(self) -> int:
        return max((scene.objects for scene in self._scenes.values()), default=0)

    def objects(self, record: ImageRecord) -> int:
        return self._scenes[_folder(record)].objects

    def image(self, record: ImageRecord, removal: Removal) -> NDArray[np.uint8] | None:
        folder = self._root / CHANGED / _folder(record)
        if removal.item is not None:
            path = picture(folder / "background_interventions", str(removal.item))
        else:
            names = self.class_parts.names
            kept = sorted(set(names) - {names[part] for part in members_of(removal.parts)})
            path = picture(folder, "body_" + "_".join(kept))
        return None if path is None else load_image(path).rgb

    def part_map(self, record: ImageRecord, hybrid: bool = False) -> PartMap:
        path = picture(self._root / MAPS, _folder(record))
        if path is None:
            raise UserError("the part map of an image is missing", str(self._root / MAPS / _folder(record)), _AGAIN)
        colours: list[tuple[int, int, int]] = []
        items: list[int] = []
        for item, part in enumerate(self.class_parts.names):
            colours += _SIDES[part]
            items += [item] * len(_SIDES[part])
        for number in range(self.objects(record)):
            colours.append((*_OBJECT[:2], _OBJECT[2] + number))
            items.append(len(self.class_parts.names) + number)
        return PartMap(read_labels(path, colours), tuple(items))

    def contrast(self, record: ImageRecord) -> PartContrast | None:
        return self.class_parts.contrast(record.label)


def bird_labels(path: Path) -> NDArray[np.bool_]:
    """bool [H,W]: where a part map shows the bird, its body too: all that is neither black nor an object."""
    rgb = load_image(path).rgb
    scenery = (rgb[..., 0] == _OBJECT[0]) & (rgb[..., 1] == _OBJECT[1]) & (rgb[..., 2] >= _OBJECT[2])
    return rgb.any(2) & ~scenery


def _folder(record: ImageRecord) -> str:
    return f"{record.path.parent.name}/{record.path.stem}"
