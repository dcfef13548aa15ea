"""Any folder of class folders, with `train/` and `test/` (or `val/`) above them or without.

Without a test folder a fifth of each class is set aside, chosen by a hash of seed and id: the choice does not
depend on the order of files, on other classes or on the machine.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from protoexplain.data.records import ImageRecord, ImageSet, Split
from protoexplain.data.source import Problems, Source, image_id, plain_name
from protoexplain.errors import UserError
from protoexplain.io.images import SUFFIXES

_TRAIN_NAMES = ("train", "training")
_TEST_NAMES = ("test", "testing", "val", "valid", "validation")
_TEST_SHARE = 0.2

Found = list[tuple[str, Path, Split]]


def detect(root: Path) -> bool:
    """At least two folders that hold an image each, here or below `train/`."""
    top = next(iter(_named(root, _TRAIN_NAMES)), root)
    return sum(_holds_image(folder) for folder in _folders(top)) >= 2


def read(root: Path, seed: int = 0) -> ImageSet:
    """Read the folder; `seed` chooses the test images if there is no test folder.

    Raises:
        UserError: Fewer than two classes with images; only test folders; a class name that cannot be used.
    """
    problems = Problems()
    train, test = _named(root, _TRAIN_NAMES), _named(root, _TEST_NAMES)
    if test and not train and len(test) == len(_folders(root)):
        raise UserError(f"there is '{test[0].name}/' but no training folder", str(root), "add train/")
    if train and test:
        classes = _classes(root, [(train[0], "train"), (test[0], "test")], problems)
        for unused in train[1:] + test[1:]:
            problems.add("folders not used", f"{unused.name}/")
    else:
        classes = _classes(root, [(train[0] if train else root, "train")], problems)
    if len(classes) < 2:
        what = f"{len(classes)} class folders with images; at least two are needed"
        raise UserError(what, str(root), f"expected {SOURCE.expected}")
    records: list[ImageRecord] = []
    for label, name in enumerate(sorted(classes)):
        found = _distinct(sorted(classes[name]), problems)
        held_out = set() if train and test else _held_out([id_ for id_, _, _ in found], seed)
        for id_, path, split in found:
            records.append(ImageRecord(id_, path, label, "test" if id_ in held_out else split))
    names = _names(sorted(classes))
    title = root.resolve().name
    drawn = not (train and test)
    return ImageSet(title, root, "folder", names, tuple(records), (), problems.sentences(), drawn)


def _classes(root: Path, tops: list[tuple[Path, Split]], problems: Problems) -> dict[str, Found]:
    """Images by name of the class folder."""
    classes: dict[str, Found] = {}
    for top, split in tops:
        for folder in _folders(top):
            name = unicodedata.normalize("NFC", folder.name)
            if not _is_usable(name):
                what = "a class folder has control or undecodable characters in its name"
                raise UserError(what, ascii(str(folder)), "rename it")
            images = _images(folder, root, problems)
            if images:
                classes.setdefault(name, []).extend((id_, path, split) for id_, path in images)
            else:
                problems.add("folders without images, left out", f"{folder.relative_to(root).as_posix()}/")
    return classes


def _distinct(found: Found, problems: Problems) -> Found:
    """Without images whose ids differ on disk only in Unicode form; sorted input."""
    kept: Found = []
    for entry in found:
        if kept and kept[-1][0] == entry[0]:
            problems.add("images whose names differ only in Unicode form, the second left out", entry[0])
        else:
            kept.append(entry)
    return kept


def _names(folders: list[str]) -> tuple[str, ...]:
    names = [plain_name(folder) for folder in folders]
    return tuple(names if len(set(names)) == len(names) and all(names) else folders)


def _held_out(ids: list[str], seed: int) -> set[str]:
    """A fifth of a class, rounded, at least one of two and never all."""
    count = min(max(1, round(_TEST_SHARE * len(ids))), len(ids) - 1)
    return set(sorted(ids, key=lambda i: hashlib.sha256(f"{seed}|{i}".encode()).digest())[:count])


def _folders(top: Path) -> list[Path]:
    return sorted(entry for entry in top.iterdir() if entry.is_dir() and not _is_hidden(entry.name))


def _named(root: Path, names: tuple[str, ...]) -> list[Path]:
    """Folders with one of the names in any case, in the order of the names."""
    folders = [folder for folder in _folders(root) if folder.name.lower() in names]
    return sorted(folders, key=lambda folder: names.index(folder.name.lower()))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_usable(name: str) -> bool:
    """No newline or other control character, and valid Unicode (file names on Linux are bytes)."""
    return not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def _holds_image(folder: Path) -> bool:
    return any(_is_image(path.name) for path in _files(folder))


def _files(folder: Path) -> Iterator[Path]:
    """Files at any depth that are not hidden; a link back upwards is not followed twice."""
    seen = set()
    for where, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not _is_hidden(name)]
        yield from (Path(where, name) for name in files if not _is_hidden(name))


def _images(folder: Path, root: Path, problems: Problems) -> list[tuple[str, Path]]:
    """(id, path) of all images at any depth."""
    found = []
    for path in _files(folder):
        if not _is_image(path.name):
            problems.add("files that are not images, left out", ascii(path.name)[1:-1])
        elif not _is_usable(path.relative_to(root).as_posix()):
            problems.add("images with control or undecodable characters in their names, left out", ascii(path.name))
        else:
            found.append((image_id(path, root), path))
    return found


SOURCE = Source(
    "folder",
    detect,
    read,
    "one folder of images for each class, all in train/ and test/ or directly here",
    generic=True,
)
