"""Errors that are the user's to mend: one sentence each on what, where and how to go on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LINE = 120
"""Characters of a list of names."""


class UserError(Exception):
    """A mistake in input, data or settings.  The command line prints it without a traceback, exit code 2.

    Args:
        what: What is wrong, with the offending value.
        where: The file, line, key or argument.
        fix: What to do about it.

    Example:
        >>> import protoexplain as px
        >>> try:
        ...     px.load("no-such-folder")
        ... except px.UserError as error:
        ...     error.what, error.where
        ('no such checkpoint', 'no-such-folder')
    """

    def __init__(self, what: str, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(
            "\n".join(part for part in (what, where and f"  where: {where}", fix and f"  fix: {fix}") if part)
        )


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Say in one line which known names were probably meant, and all of them where they are few."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6) or difflib.get_close_matches(name, names, 1, 0.5)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else ""
    listed = ", ".join(names)
    if len(listed) > _LINE:
        shown = listed[:_LINE].rpartition(", ")[0] or names[0]
        listed = "" if close else f"{shown} and {len(names) - shown.count(', ') - 1} more"
    return " ".join(part for part in (hint, listed and f"known: {listed}") if part)
