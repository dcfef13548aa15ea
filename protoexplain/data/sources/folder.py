"""Any folder of class folders, with `train/`, `val/` and `test/` above them or without."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from itertools import islice
from pathlib import Path, PurePosixPath

from protoexplain.data.masks_among import likely_masks
from protoexplain.data.records import ImageRecord, ImageSet, Split
from protoexplain.data.source import Problems, Source, class_names, image_id, is_storable
from protoexplain.data.splits import NAMES, completed, split_named
from protoexplain.data.tree import files, folders, holds_picture, is_picture, only_folder, without_masks
from protoexplain.errors import UserError

Found = list[tuple[str, Path, Split]]


def detect(root: Path) -> bool:
    """At least two folders that hold a picture each, here or below `train/`; or folders of other splits alone."""
    tops = _tops(root)
    if tops and "train" not in tops:
        return True
    candidates = without_masks(folders(tops.get("train", root)))
    return sum(1 for _ in islice(filter(holds_picture, candidates), 2)) == 2


def read(root: Path, seed: int = 0) -> ImageSet:
    """Read the folder; `seed` chooses the test images if there is neither a test nor a validation folder.

    Raises:
        UserError: Fewer than two classes with images; no training folder; a class name that cannot be used.
    """
    problems, tops = Problems(), _tops(root)
    if tops and "train" not in tops:
        found = ", ".join(f"{top.relative_to(root).parts[0]}/" for top in tops.values())
        raise UserError(f"there is {found} but no training folder", str(root), "add train/")
    classes = _classes(root, tops or {"train": root}, problems)
    if len(classes) < 2:
        what = f"{len(classes)} class folders with images; at least two are needed"
        raise UserError(what, str(root), f"expected {SOURCE.expected}")
    records = tuple(
        ImageRecord(id_, path, label, split)
        for label, name in enumerate(sorted(classes))
        for id_, path, split in _distinct(sorted(classes[name]), problems)
    )
    records, drawn, remark = completed(records, seed)
    names = class_names(sorted(classes))
    title = root.resolve().name
    remarks = (remark,) if remark else ()
    return ImageSet(title, root, "folder", names, records, (), problems.sentences(), drawn, remarks)


def _tops(root: Path) -> dict[Split, Path]:
    """The folder of class folders of each split; empty where the root holds class folders itself.

    A folder that is named as a split but holds pictures and no folders is a class: trains are things, too.
    """
    tops: dict[Split, Path] = {}
    for folder, split in _named(root):
        if split not in tops and any(map(holds_picture, folders(folder))):
            tops[split] = _inside(folder)
    others = [folder for folder in folders(root) if split_named(folder.name) is None]
    whole = "train" in tops or (tops and not any(map(holds_picture, others)))
    return tops if whole else {}


def _named(root: Path) -> list[tuple[Path, Split]]:
    """Folders that are named as a split, the usual names first."""
    named = [(folder, split) for folder in folders(root) if (split := split_named(folder.name))]
    return sorted(named, key=lambda entry: _rank(entry[0].name.casefold(), NAMES[entry[1]]))


def _rank(name: str, usual: tuple[str, ...]) -> int:
    return usual.index(name) if name in usual else len(usual)


def _inside(folder: Path) -> Path:
    """Where the class folders of a split lie: archives often unpack into ``train/train/``."""
    inner = only_folder(folder)
    repeated = inner is not None and split_named(inner.name) == split_named(folder.name)
    return _inside(inner) if inner is not None and repeated else folder


def _classes(root: Path, tops: Mapping[Split, Path], problems: Problems) -> dict[str, Found]:
    """Images by name of the class folder."""
    classes: dict[str, Found] = {}
    used = {top.relative_to(root).parts[0] for top in tops.values() if top != root}
    for folder in folders(root) if used else []:
        if folder.name not in used:
            problems.add("folders not used", f"{folder.name}/")
    for split, top in tops.items():
        _tell_loose(top, problems)
        kept = without_masks(folders(top))
        for folder in folders(top):
            name = unicodedata.normalize("NFC", folder.name)
            if not is_storable(name):
                what = "a class folder has control or undecodable characters in its name"
                raise UserError(what, ascii(str(folder)), "rename it")
            below = f"{folder.relative_to(root).as_posix()}/"
            if folder not in kept:
                problems.add("folders that are likely masks, left out", below)
            elif images := _images(folder, root, problems):
                classes.setdefault(name, []).extend((id_, path, split) for id_, path in images)
            else:
                problems.add("folders without images, left out", below)
    return classes


def _tell_loose(top: Path, problems: Problems) -> None:
    for path in files(top, deep=False):
        if is_picture(path):
            problems.add("images outside the class folders, left out", ascii(path.name)[1:-1])


def _distinct(found: Found, problems: Problems) -> Found:
    """Without images whose ids differ on disk only in Unicode form; sorted input."""
    kept: Found = []
    for entry in found:
        if kept and kept[-1][0] == entry[0]:
            problems.add("images whose names differ only in Unicode form, the second left out", entry[0])
        else:
            kept.append(entry)
    return kept


def _images(folder: Path, root: Path, problems: Problems) -> list[tuple[str, Path]]:
    """(id, path) of all images at any depth."""
    pictures: dict[PurePosixPath, Path] = {}
    for path in files(folder):
        if not is_picture(path):
            problems.add("files that are not images, left out", ascii(path.name)[1:-1])
        elif not is_storable(path.relative_to(root).as_posix()):
            problems.add("images with control or undecodable characters in their names, left out", ascii(path.name))
        else:
            pictures[PurePosixPath(path.relative_to(folder).as_posix())] = path
    masks = likely_masks(list(pictures))
    for mask in sorted(masks):
        problems.add("likely masks, by their names, left out", image_id(pictures[mask], root))
    return [(image_id(path, root), path) for below, path in pictures.items() if below not in masks]


SOURCE = Source(
    "folder",
    detect,
    read,
    "one folder of images for each class, all in train/, val/ and test/ or directly here",
    generic=True,
)
