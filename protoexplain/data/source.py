"""What a module in `sources/` publishes, and how readers collect what they had to leave out."""

from __future__ import annotations

import math
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PureWindowsPath

from protoexplain.data.geometry import Box
from protoexplain.data.records import ImageSet
from protoexplain.errors import UserError
from protoexplain.io.images import SUFFIXES

MOST_LEFT_OUT = 0.1
"""Share of the annotations that may be unusable; with more of them the rest is in doubt, too."""


@dataclass(frozen=True, slots=True)
class Source:
    """A layout on disk that can be read.

    Args:
        name: Short name, equal to the module's.
        detect: Does this folder hold the layout?  Cheap, never raises.
        read: Read it; the second argument is the seed of splits that are not published.
        expected: The layout in one line, for error messages.
        generic: Fits so many folders that it is tried only after all others.
    """

    name: str
    detect: Callable[[Path], bool]
    read: Callable[[Path, int], ImageSet]
    expected: str
    generic: bool = False


@dataclass
class Problems:
    """Counts what concerns single images or annotations, with a few examples of each kind."""

    examples: dict[str, list[str]] = field(default_factory=dict)
    unusable: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, example: str) -> None:
        """Count what is told alone."""
        self.examples.setdefault(kind, []).append(example)

    def leave_out(self, kind: str, example: str) -> None:
        """Count an annotation that cannot be used; too many of them are refused by `require_few`."""
        self.add(kind, example)
        self.unusable[kind] += 1

    def require_few(self, total: int, where: Path, fix: str) -> None:
        """The one rule for the annotations of all layouts: leave out, count and name single ones, refuse many.

        Args:
            total: How many annotations there are, of which those counted so far by `leave_out` cannot be used.
            where: The file or folder of the annotations.
            fix: What to do.

        Raises:
            UserError: More than one, and more than `MOST_LEFT_OUT` of all, cannot be used, or none can.
        """
        count = self.unusable.total()
        if count and (count >= total or (count > 1 and count > MOST_LEFT_OUT * total)):
            told = [sentence for sentence in self.sentences() if sentence.partition(": ")[0] in self.unusable]
            what = f"{count} of {total} annotations cannot be used: {'; '.join(told)}"
            raise UserError(what, str(where), fix)

    def sentences(self, shown: int = 3) -> tuple[str, ...]:
        """One sentence for each kind: ``images not found, left out: 2 (a.jpg, b.jpg)``."""
        return tuple(
            f"{kind}: {len(found)} ({', '.join(found[:shown])}{', ...' if len(found) > shown else ''})"
            for kind, found in self.examples.items()
        )


def listed_file(folder: Path, name: str) -> Path | None:
    """The file that an annotation names, if it is there and the name does not lead out of the folder.

    Other releases of a data set write names otherwise: a name with backslashes, in other case, with the suffix of
    another picture format, with the folder's own name before it or with other zeros before its number is found, too,
    where a single picture fits.
    """
    relative = PureWindowsPath(name)
    if relative.is_absolute() or relative.anchor or ".." in relative.parts or "\0" in name or not relative.parts:
        return None
    for parts in (relative.parts, relative.parts[1:] if relative.parts[0] == folder.name else ()):
        exact = folder.joinpath(*parts)
        if parts and _is_file(exact):
            return exact
        if parts and (similar := _similar(exact)):
            return similar
    return None


def _is_file(path: Path) -> bool:
    try:
        return os.path.isfile(path)
    except ValueError:
        return False


def _similar(path: Path) -> Path | None:
    """The one picture in the same folder with nearly the same name."""
    try:
        known = _pictures_in(path.parent, path.parent.stat().st_mtime_ns)
    except (OSError, ValueError):
        return None
    found = known.get(_key(path.name), ())
    return path.with_name(found[0]) if len(found) == 1 else None


@lru_cache(maxsize=64)
def _pictures_in(folder: Path, changed: int) -> Mapping[str, tuple[str, ...]]:
    """Names of pictures by what does not differ between releases; `changed` tells a folder from its former state."""
    names: dict[str, tuple[str, ...]] = {}
    for name in os.listdir(folder):
        if os.path.splitext(name)[1].lower() in SUFFIXES:
            names[_key(name)] = (*names.get(_key(name), ()), name)
    return names


def _key(name: str) -> str:
    stem, suffix = os.path.splitext(unicodedata.normalize("NFC", name).casefold())
    plain = stem if suffix in SUFFIXES else stem + suffix
    return plain.lstrip("0") if plain.isdecimal() else plain


def annotated_box(x0: float, y0: float, x1: float, y1: float) -> Box:
    """A box as annotated.

    Raises:
        ValueError: It has no area, lies outside every image or is not made of finite numbers; says which.
    """
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise ValueError("the box is not finite")
    if not (x1 > x0 and y1 > y0):
        raise ValueError("the box has no area")
    if x1 <= 0 or y1 <= 0:
        raise ValueError("the box lies outside the image")
    return Box(x0, y0, x1, y1)


def whole_label(value: object) -> int:
    """A label of a published list, which other programs may have written as 1.0.

    Raises:
        ValueError: It is no whole number.
    """
    number = float(str(value))
    if not number.is_integer():
        raise ValueError(f"{value} is no whole number")
    return int(number)


def is_storable(name: str) -> bool:
    """Whether a name has no newline or other control character, and is valid Unicode (on Linux names are bytes)."""
    return name.isprintable() or not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)


def class_names(found: list[str]) -> tuple[str, ...]:
    """Names of classes for people, unless two of them would be equal or one empty."""
    names = [plain_name(name) for name in found]
    return tuple(names if len(set(names)) == len(names) and all(names) else found)


def image_id(path: Path, root: Path) -> str:
    """Path below the root with forward slashes, in Unicode form NFC: the same on every file system."""
    return unicodedata.normalize("NFC", path.relative_to(root).as_posix())


def plain_name(folder: str) -> str:
    """A class name for people: Unicode form NFC, underscores as spaces."""
    return unicodedata.normalize("NFC", folder).replace("_", " ").strip()
