"""Masks that are kept among the pictures of a class, told by names alone: no picture is opened."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from protoexplain.data.tree import MASK_FOLDERS

_WORDS = "mask|masks|seg|segm|segmentation|gt|groundtruth|ground_truth|matte|trimap"
_AFTER = re.compile(rf"(.+?)[ ._-]*(?:{_WORDS})(?:[ _-]?\d+)?", re.IGNORECASE)
_BEFORE = re.compile(rf"(?:{_WORDS})[ _-]+(.+)", re.IGNORECASE)


def likely_masks(paths: Sequence[PurePosixPath]) -> set[PurePosixPath]:
    """The files that are named after another one of the same class: ``a_mask.png`` beside ``a.jpg``, ``masks/a.png``.

    Args:
        paths: Of the pictures of a class, below its folder.

    Returns:
        Those that are likely masks: each one whose name without ``mask``, ``seg`` or the like is that of a picture,
        and all in a folder of masks of which one has the name of a picture outside.
    """
    named, foldered = {}, {}
    for path in paths:
        if folder := _mask_folder(path):
            foldered[path] = folder
        elif base := _base(path.stem):
            named[path] = base
    pictures = [path for path in paths if path not in named and path not in foldered]
    names = {name.casefold() for path in pictures for name in (path.stem, path.name)}
    found = {path for path, base in named.items() if base in names}
    hit = {
        folder
        for path, folder in foldered.items()
        if path.stem.casefold() in names or (_base(path.stem) or "") in names
    }
    return found | {path for path, folder in foldered.items() if folder in hit}


def _mask_folder(path: PurePosixPath) -> PurePosixPath | None:
    return next((folder for folder in path.parents if folder.name.casefold() in MASK_FOLDERS), None)


def _base(stem: str) -> str | None:
    """The name of the picture that a mask of this name belongs to, in lower case."""
    match = _AFTER.fullmatch(stem) or _BEFORE.fullmatch(stem)
    return match[1].casefold() if match else None
