"""Names of classes as people read them."""

from __future__ import annotations

from collections.abc import Sequence

NAMED = 3
"""Most classes that are named as the owners of one prototype."""


def readable(class_name: str) -> str:
    """`012.Yellow_headed_Blackbird` -> `Yellow headed Blackbird`."""
    number, dot, rest = class_name.partition(".")
    return (rest if dot and number.isdigit() and rest else class_name).replace("_", " ")


def owner_name(classes: Sequence[int] | None, names: Sequence[str]) -> str | None:
    """The classes that own a prototype: the name of the one, readable names of several, None where all share it.

    Args:
        classes: That own it; None where all do.
        names: Of all classes, by label.

    Example:
        >>> owner_name((0, 2), ("wren", "tit", "jay")), owner_name((0, 1, 2, 3), tuple("abcde"))
        ('wren and jay', 'a, b and 2 others')
    """
    if classes is None:
        return None
    if len(classes) == 1:
        return names[classes[0]]
    *first, last = [readable(names[label]) for label in classes]
    if len(classes) > NAMED:
        first, last = first[: NAMED - 1], f"{len(classes) - NAMED + 1} others"
    return f"{', '.join(first)} and {last}"
