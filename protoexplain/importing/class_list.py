"""A file with the names of classes, one a line, in the order of their labels."""

from __future__ import annotations

from pathlib import Path

from protoexplain.errors import UserError
from protoexplain.io.manifest import MAX_JSON_BYTES, read_limited


def read_classes(path: Path) -> tuple[str, ...]:
    """The names in a text file; empty lines are passed over.

    Raises:
        UserError: There is no such file, it is no text, or a name stands there twice.
    """
    if not path.is_file():
        raise UserError("no such file", str(path), "give a text file with one class name on each line")
    try:
        lines = read_limited(path, MAX_JSON_BYTES).decode().splitlines()
    except UnicodeDecodeError as error:
        raise UserError("the list of classes is no text", str(path), "save it as UTF-8") from error
    return checked_classes([line.strip() for line in lines if line.strip()], str(path))


def checked_classes(names: list[str], where: str) -> tuple[str, ...]:
    """The names, if there are some and all differ.

    Raises:
        UserError: There is none, or one stands there twice.
    """
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if not names or twice is not None:
        what = "no class is named" if twice is None else f"the class '{twice}' is named twice"
        raise UserError(what, where, "name each class once, in the order of the labels")
    return tuple(names)
