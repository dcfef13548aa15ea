"""One program at a time in a folder, and what a second or a later one is told."""

import json
import os
import subprocess
import sys
import time

import pytest

from protoexplain.errors import UserError
from protoexplain.io.lock import LOCK, OWNER, FolderLock

HOLDER = """
import sys
from pathlib import Path
from protoexplain.io.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]), "at work")
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that has the folder, and gives it back only by dying."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_second_program_is_told_whose_the_folder_is_and_a_dead_one_s_is_taken_over(tmp_path, holder):
    note = json.loads((tmp_path / OWNER).read_text())
    (tmp_path / OWNER).write_text(json.dumps({**note, "began": time.time() - 7200}))
    lock = FolderLock(tmp_path, "training here", "go elsewhere")
    with pytest.raises(UserError) as caught:
        lock.acquire()
    assert caught.value.what.startswith(f"another process is training here: process {holder.pid} on {note['host']}")
    assert caught.value.what.endswith("begun about 2 h 0 min ago")
    assert caught.value.fix == "wait for it to end or go elsewhere"
    lock.release()
    assert json.loads((tmp_path / OWNER).read_text())["process"] == holder.pid, "it is still the other's"

    holder.kill()
    holder.wait()
    told = lock.acquire()
    assert f"process {holder.pid} on" in told
    assert json.loads((tmp_path / OWNER).read_text())["process"] == os.getpid()
    lock.release()
    assert lock.acquire() == "", "this one finished"
    lock.release()


@pytest.mark.parametrize("note", ["", "{", "[]", "{}", '{"process": "x", "host": 1, "began": 1}', "\0"])
def test_a_damaged_note_says_nothing(tmp_path, note):
    (tmp_path / OWNER).write_text(note)
    first = FolderLock(tmp_path, "at work")
    assert first.acquire() == ""
    (tmp_path / OWNER).write_text(note)
    with pytest.raises(UserError, match="of unknown number"):
        FolderLock(tmp_path, "at work").acquire()
    first.release()


def test_a_clock_that_jumped_back_is_no_trouble(tmp_path):
    (tmp_path / OWNER).write_text(json.dumps({"process": 1, "host": "here", "began": time.time() + 1e6}))
    lock = FolderLock(tmp_path, "at work")
    assert "begun less than a minute ago" in lock.acquire()
    lock.release()
    assert {path.name for path in tmp_path.iterdir()} <= {LOCK}
