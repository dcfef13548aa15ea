"""How work says how far it has come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Progress = Callable[[int, int], None]
"""Called with (done, total) of one piece of work."""


class Watcher(Protocol):
    """Shows the progress of several pieces of work to a person."""

    def progress(self, what: str, done: int, total: int) -> None:
        """A piece of work has come so far; the first call of a `what` starts it, done = total ends it."""

    def line(self, text: str) -> None:
        """Something worth a line."""


class Silent:
    """A watcher that shows nothing."""

    def progress(self, what: str, done: int, total: int) -> None:
        pass

    def line(self, text: str) -> None:
        pass
