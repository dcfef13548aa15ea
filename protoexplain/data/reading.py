"""Read a data set folder, finding out its layout.  The modules in `sources/` are the list of known layouts."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from protoexplain.data import sources
from protoexplain.data.records import ImageSet
from protoexplain.data.source import Source
from protoexplain.errors import UserError, nearest_name


def source_names() -> tuple[str, ...]:
    """Names of all layouts that can be read."""
    return tuple(module.name for module in pkgutil.iter_modules(sources.__path__))


def find_source(name: str) -> Source:
    """Import the one module that reads a layout.

    Raises:
        UserError: Unknown name.
    """
    if name not in source_names():
        raise UserError(f"unknown data set layout '{name}'", "source", nearest_name(name, [*source_names(), "auto"]))
    source: Source = importlib.import_module(f"{sources.__name__}.{name}").SOURCE
    return source


def read_image_set(root: Path, source: str = "auto", seed: int = 0) -> ImageSet:
    """Read the records of a data set; no image is opened.

    Args:
        root: Its folder.
        source: A layout's name, or ``auto`` to find out.
        seed: For layouts without a published split.

    Raises:
        UserError: No such folder, unknown or unrecognised layout, or annotations that cannot be used.
    """
    root = Path(root)
    if not root.is_dir():
        is_file = root.is_file()
        raise UserError(
            f"the data set is {'a file' if is_file else 'missing'}; a folder is expected",
            str(root),
            "unpack it and give the folder" if is_file else "check the path",
        )
    if source != "auto":
        found = find_source(source)
        if not found.detect(root):
            raise UserError(f"this is no '{source}' data set: {_contents(root)}", str(root), f"expected {found.expected}")
        return found.read(root, seed)
    known = sorted((find_source(name) for name in source_names()), key=lambda entry: entry.generic)
    for entry in known:
        if entry.detect(root):
            return entry.read(root, seed)
    layouts = "".join(f"\n    {entry.name}: {entry.expected}" for entry in known)
    raise UserError(f"no known data set layout: {_contents(root)}", str(root), f"expected one of{layouts}")


def _contents(root: Path, shown: int = 8) -> str:
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in root.iterdir())
    if not names:
        return "the folder is empty"
    return f"it holds {', '.join(names[:shown])}{f' and {len(names) - shown} more' if len(names) > shown else ''}"
