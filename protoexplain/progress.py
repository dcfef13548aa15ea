"""How work says how far it has come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

Progress = Callable[[int, int], None]
"""Called with (done, total) of one piece of work."""
ShareProgress = Callable[[float], None]
"""Called with the share of one piece of work that is done."""


def no_progress(share: float) -> None:
    """Nobody waits for the work."""


class Watcher(Protocol):
    """Shows the progress of several pieces of work to a person."""

    def progress(self, what: str, done: int, total: int) -> None:
        """A piece of work has come so far; the first call of a `what` starts it, done = total ends it."""

    def line(self, text: str) -> None:
        """Something worth a line."""


@runtime_checkable
class TimedWatcher(Watcher, Protocol):
    """Also shows how long all of the work will still take, where that can be told."""

    def left(self, seconds: float) -> None:
        """So many seconds are left of all the work, as far as can be told now."""


class Silent:
    """A watcher that shows nothing."""

    def progress(self, what: str, done: int, total: int) -> None:
        pass

    def line(self, text: str) -> None:
        pass


def in_words(seconds: float) -> str:
    """A duration as people say it: ``about 3 min``."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    hours, rest = divmod(minutes, 60)
    if hours >= 48:
        return f"about {round(hours / 24)} days"
    return f"about {f'{hours} h ' if hours else ''}{rest} min"
