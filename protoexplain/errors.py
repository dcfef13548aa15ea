"""Errors that are the user's to mend: one sentence each on what, where and how to go on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
    """Say which known name was probably meant, and list all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}known: {', '.join(names)}"
