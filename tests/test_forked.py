"""Forked processes are like those of the console script, and have imported the program before they begin."""

import sys
import time

import pytest
from forked import PRELOADED, start, start_command


def print_what_is_missing():
    print([name for name in PRELOADED if name not in sys.modules])


def test_the_program_is_imported_already(tmp_path):
    assert start(print_what_is_missing, folder=tmp_path).ended() == (0, "[]\n", "")


def test_a_refused_command_tells_why(tmp_path):
    code, told, trouble = start_command("train", "--dry-run", "--set", "family=no", folder=tmp_path).ended()
    assert (code, told) == (2, "")
    assert "unknown family" in trouble


def test_what_does_not_end_is_killed(tmp_path):
    endless = start(time.sleep, 1000, folder=tmp_path)
    with pytest.raises(TimeoutError, match="still running"):
        endless.ended(0.1)
    assert not endless.process.is_alive()
