"""What a module in `sources/` publishes, and how readers collect what they had to leave out."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from protoexplain.data.records import ImageSet


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
    """Counts what concerns single images, with a few examples of each kind."""

    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, example: str) -> None:
        self.examples.setdefault(kind, []).append(example)

    def sentences(self, shown: int = 3) -> tuple[str, ...]:
        """One sentence for each kind: ``images not found, left out: 2 (a.jpg, b.jpg)``."""
        return tuple(
            f"{kind}: {len(found)} ({', '.join(found[:shown])}{', ...' if len(found) > shown else ''})"
            for kind, found in self.examples.items()
        )


def listed_file(folder: Path, name: str) -> Path | None:
    """The file that an annotation names, if it is there and the name does not lead out of the folder."""
    relative = Path(name)
    inside = not relative.is_absolute() and ".." not in relative.parts
    return folder / relative if inside and os.path.isfile(folder / relative) else None


def image_id(path: Path, root: Path) -> str:
    """Path below the root with forward slashes, in Unicode form NFC: the same on every file system."""
    return unicodedata.normalize("NFC", path.relative_to(root).as_posix())


def plain_name(folder: str) -> str:
    """A class name for people: Unicode form NFC, underscores as spaces."""
    return unicodedata.normalize("NFC", folder).replace("_", " ").strip()
