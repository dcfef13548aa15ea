"""What lies in a folder that somebody gives: its folders, and its files, of which the content tells the pictures.

Folders and files that systems and tools leave behind are never looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from protoexplain.io.images import SUFFIXES
from protoexplain.io.left_behind import is_left_behind
from protoexplain.io.signatures import is_picture_head

_MARKS = ("pyvenv.cfg", "CACHEDIR.TAG", "model.safetensors")
"""A folder that holds one of these is a Python environment, a cache (bford.info/cachedir) or a model, such as one that
was trained from within the folder of the pictures."""
_NOT_READ = frozenset(
    {
        ".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".rw2", ".pef", ".srw", ".raf",
        ".bak", ".old", ".orig", ".tmp", ".part", ".partial", ".download", ".crdownload",
    }
)  # fmt: skip
"""Raw data of cameras, of which only a small preview could be shown, and copies that programs make for themselves."""


def folders(top: Path) -> list[Path]:
    """The folders in a folder, by name, without those of systems and tools."""
    return sorted(entry for entry in top.iterdir() if not is_left_behind(entry.name) and _is_looked_into(entry))


def files(top: Path, deep: bool = True) -> Iterator[Path]:
    """The files in a folder, at any depth or directly; no folder is looked into twice.

    Raises:
        OSError: A folder cannot be listed.
    """
    seen, waiting = set(), [top]
    while waiting:
        where = waiting.pop()
        if (real := os.path.realpath(where)) in seen:
            continue
        seen.add(real)
        with os.scandir(where) as entries:
            for entry in entries:
                if is_left_behind(entry.name):
                    continue
                if os.path.isdir(entry.path):  # never an error, as entry.is_dir() is for a link to itself
                    if deep and _is_looked_into(Path(entry.path)):
                        waiting.append(Path(entry.path))
                elif os.path.isfile(entry.path) or not os.path.exists(entry.path):
                    yield Path(entry.path)


def is_picture(path: Path) -> bool:
    """Whether a file counts as a picture: by its suffix, and with any other one or none by its first bytes."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return True
    copied = suffix in _NOT_READ or suffix.endswith("_original") or path.name.endswith("~")
    return not copied and is_picture_head(head_of(path))


def head_of(path: Path) -> bytes:
    """The first 64 bytes of a file; fewer where it is shorter, none where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(64)
    except OSError:
        return b""


def holds_picture(folder: Path, deep: bool = True) -> bool:
    """Whether there is a picture in a folder, at any depth or directly; the first one ends the search."""
    return any(is_picture(path) for path in files(folder, deep))


def only_folder(top: Path) -> Path | None:
    """The one folder in which all pictures are, where it is not the last one."""
    if holds_picture(top, deep=False):
        return None
    holding = [folder for folder in without_masks(folders(top)) if holds_picture(folder)]
    return holding[0] if len(holding) == 1 else None


PICTURE_FOLDERS = frozenset({"image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "jpegimages"})
MASK_FOLDERS = frozenset(
    {
        "mask", "masks", "seg", "segs", "segmentation", "segmentations", "segmentationclass", "segmentationobject",
        "label", "labels", "annotation", "annotations", "gt", "ground_truth", "groundtruth", "ground truth", "trimaps",
    }
)  # fmt: skip


def without_masks(found: list[Path]) -> list[Path]:
    """Folders, without those named as masks where others are named as the pictures: ``images/`` and ``masks/``."""
    if not any(folder.name.casefold() in PICTURE_FOLDERS for folder in found):
        return found
    return [folder for folder in found if folder.name.casefold() not in MASK_FOLDERS]


def _is_looked_into(entry: Path) -> bool:
    """Whether it is a folder, of no tool, and no link to a folder that it lies in."""
    if not entry.is_dir() or any((entry / mark).is_file() for mark in _MARKS):
        return False
    above = Path(os.path.realpath(entry.parent))
    return not (entry.is_symlink() and Path(os.path.realpath(entry)) in (above, *above.parents))
