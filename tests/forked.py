"""Processes of their own that need not import torch again: they are forked from one process that has.

The sets of that process have another order than those of the process that asks.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = (
    "protoexplain.training.run",
    "protoexplain.metrics.runner",
    "protoexplain.explanations.characteristics.measurement",
)
CONTEXT.set_forkserver_preload(list(PRELOADED))


@dataclass(frozen=True)
class Forked:
    """A process and the files of its output and errors."""

    process: BaseProcess
    out: Path
    err: Path

    def ended(self, within: float = 200) -> tuple[int, str, str]:
        """Wait for its end: exit code (of a signal, minus its number), output, errors."""
        self.process.join(within)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise TimeoutError(f"still running after {within} s:\n{self.err.read_text()}")
        return self.process.exitcode, self.out.read_text(), self.err.read_text()


def start(target: Callable[..., object], *arguments: object, folder: Path, env: Mapping[str, str] | None = None):
    """Call `target` in a process of its own, with more environment variables; its output goes to files in `folder`."""
    out, err = folder / "output.txt", folder / "errors.txt"
    for path in (out, err):
        path.touch()
    environment = {**os.environ, **(env or {})}
    process = CONTEXT.Process(target=_redirected, args=(out, err, environment, target, arguments))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONHASHSEED", "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2")
        process.start()
    return Forked(process, out, err)


def start_command(*words: object, folder: Path, env: Mapping[str, str] | None = None):
    """Start the command as its console script does."""
    return start(_command, *map(str, words), folder=folder, env=env)


def _redirected(out, err, environment, target, arguments):
    for path, stream in ((out, sys.stdout), (err, sys.stderr)):
        with path.open("w") as file:
            os.dup2(file.fileno(), stream.fileno())
    os.environ.clear()
    os.environ.update(environment)
    target(*arguments)


def _command(*words):
    from protoexplain.cli.main import main

    sys.argv = ["protoexplain", *words]
    main()
