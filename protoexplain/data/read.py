"""Read a data set folder, finding out its layout; the modules in `sources/` are the known layouts."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from protoexplain.data import sources
from protoexplain.data.class_hints import class_hints
from protoexplain.data.records import ImageSet
from protoexplain.data.refusal import not_recognised
from protoexplain.data.source import Source
from protoexplain.data.tree import only_folder
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
        UserError: No such folder, unknown or unrecognised layout, annotations that cannot be used, or one class alone.

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
        place, found = _recognised(root, source)
        image_set = found.read(place, seed)
    except OSError as error:
        raise UserError(f"the data set cannot be read: {error.strerror}", str(error.filename or root)) from error
    if len(image_set.classes) < 2:
        what = f"only one class was found, '{image_set.classes[0]}'; at least two are needed"
        raise UserError(what, str(place), "add images of another class, or give the folder around all classes")
    if place != root:
        looked = f"all pictures are in {place.relative_to(root).as_posix()}/, which was read in place of {root.name}/"
        image_set = replace(image_set, remarks=(looked, *image_set.remarks))
    return replace(image_set, problems=(*image_set.problems, *class_hints(image_set)))


def is_laid_out(root: Path, name: str) -> bool:
    """Whether a folder, or the one folder in it that holds everything, can be read in a layout."""
    try:
        return name in source_names() and root.is_dir() and _find(root, [find_source(name)])[1] is not None
    except OSError:
        return False


def _recognised(root: Path, source: str) -> tuple[Path, Source]:
    """Where the data set lies, and its layout."""
    names = source_names() if source == "auto" else (source,)
    known = sorted(map(find_source, names), key=lambda entry: entry.generic)
    place, found = _find(root, known)
    if found is None:
        raise not_recognised(root, place, source, known)
    return place, found


def _find(root: Path, known: Sequence[Source]) -> tuple[Path, Source | None]:
    """The first layout that fits, of the folder or of the one in it around everything, as archives unpack."""
    found = next((entry for entry in known if entry.detect(root)), None)
    inner = only_folder(root) if found is None else None
    return (root, found) if inner is None else _find(inner, known)
