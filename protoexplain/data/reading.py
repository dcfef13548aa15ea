"""Read a data set folder, finding out its layout; the modules in `sources/` are the known layouts."""

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


def require_folder(root: Path) -> None:
    """Refuse what is no folder.

    Raises:
        UserError: Says what it is.
    """
    if not root.is_dir():
        is_file = root.is_file()
        raise UserError(
            f"the data set is {'a file' if is_file else 'missing'}; a folder is expected",
            str(root),
            "unpack it and give the folder" if is_file else "check the path",
        )


def read_image_set(root: str | Path, source: str = "auto", seed: int = 0) -> ImageSet:
    """Read the records of a data set; no image is opened.

    Args:
        root: Its folder.
        source: A layout's name, or ``auto`` to find out.
        seed: Chooses the test images of layouts without a published split.

    Returns:
        Records with file, label from 0, split and, where the data set has them, box, parts and mask in pixels of the
        image.

    Raises:
        UserError: No such folder, unknown or unrecognised layout, or annotations that cannot be used.

    Example:
        >>> import protoexplain as px
        >>> images = px.read_image_set("birds")
        >>> images.source, len(images.classes), len(images.split("train")), len(images.split("test"))
        ('cub', 2, 6, 2)
        >>> images.records[0].box.as_list()[:2] >= [0, 0]
        True
    """
    root = Path(root)
    require_folder(root)
    try:
        return _recognised(root, source).read(root, seed)
    except OSError as error:
        raise UserError(f"the data set cannot be read: {error.strerror}", str(error.filename or root)) from error


def _recognised(root: Path, source: str) -> Source:
    names = source_names() if source == "auto" else (source,)
    known = sorted(map(find_source, names), key=lambda entry: entry.generic)
    found = next((entry for entry in known if entry.detect(root)), None)
    if found is None:
        what = "no known data set layout" if source == "auto" else f"this is no '{source}' data set"
        layouts = "".join(f"\n    {entry.name}: {entry.expected}" for entry in known)
        raise UserError(f"{what}: {_contents(root)}", str(root), f"expected{layouts}")
    return found


def _contents(root: Path, shown: int = 8) -> str:
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in root.iterdir())
    if not names:
        return "the folder is empty"
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"it holds {', '.join(names[:shown])}{more}"
