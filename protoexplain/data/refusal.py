"""Why a folder is no data set: what was found in it, and what it lacks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from protoexplain.data.source import Source
from protoexplain.data.splits import split_named
from protoexplain.data.tables import lacking_columns
from protoexplain.data.tree import files, head_of, is_picture
from protoexplain.errors import UserError
from protoexplain.io.images import FORMATS
from protoexplain.io.signatures import kind_of

_CLASSES = "put the pictures of each class into a folder of its own, or add a table with columns file and label"
_ARCHIVES = (".zip", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")


def not_recognised(root: Path, place: Path, source: str, known: Sequence[Source]) -> UserError:
    """The error for a folder that fits no layout.

    Args:
        root: As given.
        place: The folder in it that holds everything, or the same.
        source: The layout that was asked for, or ``auto``.
        known: The layouts that were tried.
    """
    layouts = "expected" + "".join(f"\n    {entry.name}: {entry.expected}" for entry in known)
    if source != "auto":
        return UserError(f"this is no '{source}' data set: {_contents(place)}", str(place), layouts)
    counts, others = _sorted_out(place)
    tables = "".join(f"; {reason}" for reason in lacking_columns(place))
    if not counts and others:
        packed = any(path.suffix.lower() in _ARCHIVES for path in others)
        fix = "unpack the archives" if packed else f"pictures are read from {_formats()}"
        return UserError(f"no picture was found: {_kinds(others)}", str(place), fix)
    what = f"no known data set layout: {_contents(place)}"
    loose = counts.pop("", 0)
    names = ", ".join(map(repr, counts))
    if loose and not counts and place == root:
        what = f"all {loose} pictures lie in no class folder, which makes one class; at least two are needed"
    elif (loose and place != root) or len(counts) + (loose > 0) == 1:
        what = f"only one class was found, {repr(place.name) if loose else names}; at least two are needed"
    elif len(counts) == 1:
        what += f"; only one class was found, {names}, and at least two are needed"
    return UserError(what + tables, str(place), f"{_CLASSES}; {layouts}")


def _sorted_out(place: Path) -> tuple[dict[str, int], list[Path]]:
    """The number of pictures of each class folder, without one under an empty name, and the files that are none."""
    counts: dict[str, int] = defaultdict(int)
    others = []
    for path in files(place):
        if is_picture(path):
            folders = path.parent.relative_to(place).parts
            inner = folders[1:] if folders and split_named(folders[0]) else folders
            counts["".join(inner[:1])] += 1
        else:
            others.append(path)
    return counts, others


def _kinds(paths: Sequence[Path], shown: int = 5) -> str:
    """Suffixes, how often they come, and what such a file is: ``3 .svg (a.svg is an SVG, HTML or XML text)``."""
    by_suffix: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(paths):
        by_suffix[path.suffix.lower() or "without suffix"].append(path)
    often = sorted(by_suffix.items(), key=lambda entry: -len(entry[1]))
    told = [f"{len(found)} {suffix}{_kind(found[0])}" for suffix, found in often[:shown]]
    more = f" and {len(often) - shown} more kinds" if len(often) > shown else ""
    return ", ".join(told) + more


def _kind(path: Path) -> str:
    kind = kind_of(head_of(path))
    return f" ({ascii(path.name)[1:-1]} is {kind})" if kind else ""


def _formats() -> str:
    return ", ".join(FORMATS) + " and HEIC files of any name"


def _contents(root: Path, shown: int = 8) -> str:
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in root.iterdir())
    if not names:
        return "the folder is empty"
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"it holds {', '.join(names[:shown])}{more}"
