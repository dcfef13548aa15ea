"""What commands share: where they compute, and what they print, progress for people and JSON for scripts."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from protoexplain.cli import logs
from protoexplain.io.json_values import finite
from protoexplain.progress import Watcher, in_words

_WIDTH = 100
"""Characters of a line of text."""
_PIPED_EVERY = 60.0
"""Seconds between lines about progress where no bars can be shown."""
DEVICE_HELP = "auto (the best there is), cpu, cuda, cuda:1 or mps."
Device = Annotated[str, typer.Option("--device", help=DEVICE_HELP)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]

Evidence = Annotated[
    str,
    typer.Option(
        help="Evidence of linear heads: shapley (against the usual image) or product (similarity x weight, published)."
    ),
]


def command_line() -> str:
    """The command as it was given, for checkpoints to say how they are made again."""
    return shlex.join(["protoexplain", *sys.argv[1:]])


def say(text: str) -> None:
    """A line for people, on standard output."""
    Console(highlight=False, markup=False, soft_wrap=True).print(text)


def show_markdown(text: str) -> None:
    """Markdown as text: headings, lists and tables as terminals can show them, on standard output."""
    from rich.markdown import Markdown

    console = Console(highlight=False)
    Console(highlight=False, width=min(console.width, _WIDTH) if console.is_terminal else _WIDTH).print(Markdown(text))


def print_json(content: object) -> None:
    """One JSON object on standard output, in ASCII where that cannot take all letters."""
    all_letters = "utf" in (sys.stdout.encoding or "").lower()
    sys.stdout.write(json.dumps(finite(content), indent=2, ensure_ascii=not all_letters) + "\n")


class ProgressWatcher:
    """Shows work with bars and the time left, of this work and of all; on a pipe, with a line a minute."""

    def __init__(self, progress: Progress, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress, self._clock = progress, clock
        self._tasks: dict[str, TaskID] = {}
        self._told, self._left = clock(), ""

    def progress(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total, left="")
        now = self._clock()
        if self._progress.disable and now - self._told >= _PIPED_EVERY:
            self._told = now
            self.line(f"{what}: {done} of {total}{self._left}")
        self._progress.update(self._tasks[what], completed=done, total=total, left=self._left)
        if done >= total:
            self._progress.remove_task(self._tasks.pop(what))

    def left(self, seconds: float) -> None:
        self._left = f", {in_words(seconds)} left in all"

    def line(self, text: str) -> None:
        self._progress.console.print(text)


@contextmanager
def watching() -> Iterator[Watcher]:
    """Bars on standard error while the block runs, or where it is shown what is done, lines of the log."""
    if logs.shown():
        yield logs.LogWatcher()
        return
    bar = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    columns = (TextColumn("{task.description}"), *bar, TextColumn("{task.fields[left]}"))
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield ProgressWatcher(progress)
