"""Any folder of class folders, with `train/`, `val/` and `test/` above them, in each of them or without."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path, PurePosixPath

from protoexplain.data.masks_among import likely_masks
from protoexplain.data.records import ImageRecord, ImageSet, Split
from protoexplain.data.source import Problems, Source, class_names, image_id, is_storable
from protoexplain.data.splits import NAMES, completed, split_among, split_named
from protoexplain.data.tree import (
    MASK_FOLDERS,
    PICTURE_FOLDERS,
    files,
    folders,
    holds_picture,
    is_picture,
    only_folder,
    without_masks,
)
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
        UserError: Fewer than two classes with images; no training folder, or splits without class folders; a class name
            that cannot be used.
    """
    problems, tops = Problems(), _tops(root)
    if tops and "train" not in tops:
        found = ", ".join(f"{top.relative_to(root).parts[0]}/" for top in tops.values())
        raise UserError(f"there is {found} but no training folder of class folders", str(root), "add train/")
    classes = _classes(root, tops or {"train": root}, problems)
    if not tops and _are_splits(classes):
        what = f"{', '.join(f'{name}/' for name in sorted(classes))} hold pictures in no class folders"
        fix = "in each of them put the pictures of each class into a folder of its own, or add a table"
        raise UserError(what, str(root), f"{fix}; expected {SOURCE.expected}")
    if not tops:
        classes = _split_within(classes)
        _tell_repeated(classes, problems)
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
    tops = _tops_by(root, split_named)
    others = [folder for folder in folders(root) if split_named(folder.name) is None]
    if "train" in tops or (tops and not any(map(holds_picture, others))):
        return tops
    tops = _tops_by(root, split_among)
    names = {split: {folder.name for folder in folders(top)} for split, top in tops.items()}
    alike = len(names) > 1 and all(names.get("train", set()) & found for found in names.values())
    return tops if alike else {}


def _tops_by(root: Path, meaning: Callable[[str], Split | None]) -> dict[Split, Path]:
    """Folders of class folders by the split that their names mean, the usual names first."""
    named = [(folder, split) for folder in folders(root) if (split := meaning(folder.name))]
    tops: dict[Split, Path] = {}
    for folder, split in sorted(named, key=lambda entry: _rank(entry[0].name.casefold(), NAMES[entry[1]])):
        top = _inside(folder)
        if split not in tops and any(map(holds_picture, folders(top))):
            tops[split] = top
    return tops


def _rank(name: str, usual: tuple[str, ...]) -> int:
    return usual.index(name) if name in usual else len(usual)


def _inside(folder: Path) -> Path:
    """Where the class folders of a split lie: archives often unpack into ``train/train/``, others have an ``images/``
    in it."""
    inner = only_folder(folder)
    if inner is None:
        return folder
    repeated = split_among(inner.name) == split_among(folder.name) or inner.name.casefold() in PICTURE_FOLDERS
    return _inside(inner) if repeated else folder


def _are_splits(classes: Mapping[str, Found]) -> bool:
    """Whether class folders are in truth the folders of splits, of which one is for training."""
    if any(_below(id_).casefold() not in {"", *PICTURE_FOLDERS} for found in classes.values() for id_, _, _ in found):
        return False
    exact, among = ({meaning(name) for name in classes} for meaning in (split_named, split_among))
    return {"train"} < exact - {None} or (None not in among and {"train"} < among)


def _split_within(classes: Mapping[str, Found]) -> dict[str, Found]:
    """The splits of images that all lie in ``train/``, ``test/`` and the like within their class folders."""
    inner = {id_: split_named(_below(id_)) for found in classes.values() for id_, _, _ in found}
    if None in inner.values() or not {"train"} < set(inner.values()):
        return dict(classes)
    return {name: [(id_, path, inner[id_] or split) for id_, path, split in found] for name, found in classes.items()}


def _tell_repeated(classes: Mapping[str, Found], problems: Problems) -> None:
    """Folders of the same names in every class are probably the classes, and those around them something else."""
    inner = [{_below(id_) for id_, _, _ in found} for found in classes.values()]
    common = set.intersection(*inner) if inner else set()
    named = {name for name in common if name.casefold() not in {"", *PICTURE_FOLDERS, *MASK_FOLDERS}}
    if len(classes) > 1 and len(named) > 1 and not any(map(split_named, named)):
        for name in sorted(named):
            kind = "folders that lie in every class; if they are the classes, give one of the folders around them"
            problems.add(kind, f"{name}/")


def _below(id_: str) -> str:
    """The folder in the class folder that an image lies in; empty for none."""
    parts = id_.split("/")
    return parts[1] if len(parts) > 2 else ""


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
    for path in sorted(files(folder)):
        if not is_picture(path):
            problems.add("files that are no pictures in a format that is read, left out", ascii(path.name)[1:-1])
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
