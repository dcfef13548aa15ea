"""Steps of writing, watched or cut off: each change of names that the system is asked for."""

import os
import shutil
from contextlib import contextmanager

import pytest

STEPS = ("rename", "replace", "unlink", "mkdir", "rmdir")


class Killed(BaseException):
    """The program is dead: nothing of it is carried out any more, no clearing up either."""


def watch_steps(monkeypatch, look):
    """Call `look` before and after every step."""

    def watched(real):
        def call(*arguments, **options):
            look()
            real(*arguments, **options)
            look()

        return call

    for step in STEPS:
        monkeypatch.setattr(os, step, watched(getattr(os, step)))


@contextmanager
def killed_at(n):
    """Let the program die at its nth step; yields a list that then holds its death."""
    taken, deaths = [], []

    def mortal(step):
        def call(*arguments, **options):
            taken.append(step)
            if len(taken) >= n:
                raise Killed
            step(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for step in STEPS:
            patch.setattr(os, step, mortal(getattr(os, step)))
        patch.setattr(shutil, "rmtree", lambda *arguments, **options: None)
        try:
            yield deaths
        except Killed as death:
            deaths.append(death)


def contents(folder):
    """The bytes of all files below a folder."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
