"""Files and folders appear complete or not at all, whatever happens to the program."""

import errno
import itertools
import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from write_steps import watch_steps

from protoexplain.errors import UserError
from protoexplain.io import atomic
from protoexplain.io.atomic import recover, require_writable, write_file, write_folder
from protoexplain.io.manifest import MANIFEST, manifest_of, read_manifest, verify_folder


def filler(text):
    def fill(folder):
        (folder / "a.txt").write_text(text)
        (folder / "deep").mkdir()
        (folder / "deep" / "b.bin").write_bytes(text.encode() * 100)

    return fill


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def fail_at(monkeypatch):
    def arm(n):
        monkeypatch.setattr(atomic, "_writes", itertools.count(1))
        monkeypatch.setenv("PROTOEXPLAIN_FAULT", f"write:{n}")

    return arm


def test_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "new" / "x.txt"
    write_file(path, "ä\n")
    assert path.read_bytes() == b"\xc3\xa4\n"
    write_file(path, b"\x00")
    assert path.read_bytes() == b"\x00"
    assert names(path.parent) == ["x.txt"]


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_replaces_nothing(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: os.open("/", os.O_WRONLY))  # fails as a system without links does
    write_file(tmp_path / "x.txt", "one", new=True)
    with pytest.raises(UserError, match="already"):
        write_file(tmp_path / "x.txt", "two", new=True)
    assert (tmp_path / "x.txt").read_text() == "one"
    assert names(tmp_path) == ["x.txt"]


def test_folder_has_a_manifest_of_all_files(tmp_path):
    write_folder(tmp_path / "out", filler("one"))
    manifest = verify_folder(tmp_path / "out")
    assert list(manifest.files) == ["a.txt", "deep/b.bin"]
    assert manifest.files["deep/b.bin"].size == 300
    assert names(tmp_path) == ["out"]


def test_existing_folder_is_never_replaced(tmp_path):
    write_folder(tmp_path / "out", filler("one"))
    with pytest.raises(UserError, match="already"):
        write_folder(tmp_path / "out", filler("two"))
    assert (tmp_path / "out" / "a.txt").read_text() == "one"
    assert names(tmp_path) == ["out"]


def test_of_two_programs_that_write_one_folder_the_first_wins(tmp_path):
    def overtaken(folder):
        write_folder(tmp_path / "out", filler("one"))
        filler("two")(folder)

    with pytest.raises(UserError, match="already"):
        write_folder(tmp_path / "out", overtaken)
    assert verify_folder(tmp_path / "out")
    assert (tmp_path / "out" / "a.txt").read_text() == "one"
    assert names(tmp_path) == ["out"]


def test_a_folder_is_absent_or_whole_at_every_step(tmp_path, monkeypatch):
    """Whatever the system is asked for, before and after it."""
    seen = set()

    def look():
        seen.add((tmp_path / "out").exists() and bool(verify_folder(tmp_path / "out")))

    watch_steps(monkeypatch, look)
    write_folder(tmp_path / "out", filler("one"))
    assert seen == {False, True}


def test_threads_that_write_one_file_do_not_mix(tmp_path, monkeypatch):
    """Another thread writes the same file, and clears up, while this one has not renamed its own yet."""
    settle, path = atomic._sync_file, tmp_path / "x"

    def interrupted(temporary):
        settle(temporary)
        monkeypatch.setattr(atomic, "_sync_file", settle)
        write_file(path, "from the other")
        assert recover(tmp_path) == []

    monkeypatch.setattr(atomic, "_sync_file", interrupted)
    write_file(path, "from this one")
    assert path.read_text() == "from this one"
    assert names(tmp_path) == ["x"]


def test_permissions_follow_the_umask(tmp_path):
    def private(folder):
        (folder / "deep").mkdir()
        for path in (folder / "a", folder / "deep" / "b"):
            path.touch(mode=0o600)

    old = os.umask(0o022)
    try:
        write_folder(tmp_path / "out", private)
        write_file(tmp_path / "file", "")
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [tmp_path / "out", *tmp_path.rglob("*")]}
    assert modes == {"out": 0o755, "deep": 0o755, "a": 0o644, "b": 0o644, MANIFEST: 0o644, "file": 0o644}


@pytest.mark.parametrize("n", [1, 2, 3])
def test_full_disk_leaves_the_other_folders(tmp_path, fail_at, n):
    write_folder(tmp_path / "out", filler("one"))
    before = read_manifest(tmp_path / "out")
    fail_at(n)
    with pytest.raises(UserError, match=r"needs at least \d+\.\d MB, \d+\.\d MB free at") as caught:
        write_folder(tmp_path / "next", filler("two"))
    assert str(tmp_path) in caught.value.what
    assert verify_folder(tmp_path / "out") == before
    assert names(tmp_path) == ["out"]


def test_full_disk_leaves_nothing_new(tmp_path, fail_at):
    fail_at(1)
    with pytest.raises(UserError, match="disk is full"):
        write_file(tmp_path / "x", "new")
    fail_at(2)
    with pytest.raises(UserError, match="disk is full"):
        write_folder(tmp_path / "out", filler("one"))
    assert names(tmp_path) == []


def test_fault_strikes_once_at_its_number(tmp_path, fail_at):
    fail_at(2)
    write_file(tmp_path / "x", "1")
    with pytest.raises(UserError):
        write_file(tmp_path / "x", "2")
    write_file(tmp_path / "y", "3")
    assert (tmp_path / "x").read_text() == "1"
    assert (tmp_path / "y").read_text() == "3"


def test_needed_size_counts_what_was_to_be_written(tmp_path, fail_at):
    fail_at(1)
    with pytest.raises(UserError, match=r"needs at least 3\.0 MB"):
        write_file(tmp_path / "x", bytes(3_000_000))


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_interrupted_filling_leaves_nothing(tmp_path, error):
    def fill(folder):
        (folder / "half").write_text("half")
        raise error

    with pytest.raises(type(error)):
        write_folder(tmp_path / "out", fill)
    assert names(tmp_path) == []


def test_unwritable_place_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        write_file(tmp_path / "file" / "x", "")
    with pytest.raises(UserError, match="cannot write"):
        write_folder(tmp_path / "file" / "x", filler("one"))


def test_broken_disk_is_told(tmp_path, monkeypatch):
    settle = atomic._sync_folder

    def fail_in_parent(folder):
        if folder == tmp_path:
            raise OSError(errno.EIO, "broken disk")
        settle(folder)

    monkeypatch.setattr(atomic, "_sync_folder", fail_in_parent)
    with pytest.raises(UserError, match="broken disk"):
        write_folder(tmp_path / "out", filler("two"))
    assert verify_folder(tmp_path / "out")
    assert names(tmp_path) == ["out"]


def test_place_that_can_be_written_stays_as_it_was(tmp_path):
    require_writable(tmp_path / "new" / "folder")
    assert names(tmp_path / "new" / "folder") == []
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nothing")):
        with pytest.raises(UserError):
            require_writable(place)


def test_recover_removes_what_killed_programs_left(tmp_path, dead_pid):
    """Also under our own number, which the dead program then had; and never a folder that was whole."""
    write_folder(tmp_path / "out", filler("one"))
    write_folder(tmp_path / f"out.old-{dead_pid}", filler("two"))
    (tmp_path / "unrelated").mkdir()
    left = sorted([f"out.tmp-{dead_pid}", f"out.tmp-{dead_pid}-0a1b", f"out.tmp-{os.getpid()}-0a1b"])
    for name in left:
        (tmp_path / name).mkdir()
    assert recover(tmp_path) == left
    assert names(tmp_path) == ["out", f"out.old-{dead_pid}", "unrelated"]
    assert verify_folder(tmp_path / "out")


def test_recover_leaves_other_names_and_running_programs_alone(tmp_path, dead_pid):
    kept = [f"x.tmp-{os.getppid()}", "notes.tmp", "out", f"y.tmp-{dead_pid}"]
    for name in kept:
        (tmp_path / name).mkdir()
    assert recover(tmp_path, "out") == []
    assert names(tmp_path) == sorted(kept)
    assert recover(tmp_path) == [f"y.tmp-{dead_pid}"]
    assert recover(tmp_path / "nowhere") == []


def test_a_file_that_is_written_again_has_no_leftovers(tmp_path, dead_pid):
    kept = [f"report.json.tmp-{os.getppid()}-0a1b", f"other.json.tmp-{dead_pid}-0a1b"]
    for name in (f"report.json.tmp-{dead_pid}-0a1b", *kept):
        (tmp_path / name).touch()
    write_file(tmp_path / "report.json", "{}")
    assert names(tmp_path) == sorted(["report.json", *kept])


CORRUPTIONS = {
    "flipped byte": (
        lambda f: flip(f / "deep/b.bin"),
        r"deep/b.bin was changed.* SHA-256 [0-9a-f]{64}.* with [0-9a-f]{64}",
    ),
    "truncated": (lambda f: (f / "a.txt").write_text("o"), r"a.txt was changed: expected 3 bytes.*found 1 bytes"),
    "missing": (lambda f: (f / "a.txt").unlink(), r"a.txt is missing: expected SHA-256 [0-9a-f]{64}, found no file"),
    "extra": (lambda f: (f / "deep/c").touch(), "deep/c does not belong"),
    "dangling link": (lambda f: (f / "l").symlink_to("nowhere"), "l is not a plain file"),
    "no manifest": (lambda f: (f / MANIFEST).unlink(), f"{MANIFEST} is missing"),
    "empty manifest": (lambda f: (f / MANIFEST).write_text(""), f"{MANIFEST} is damaged"),
    "other json": (lambda f: (f / MANIFEST).write_text("[]"), f"{MANIFEST} is damaged"),
    "blank added": (lambda f: (f / MANIFEST).write_text((f / MANIFEST).read_text() + " "), f"{MANIFEST} is damaged"),
}


def flip(path, place=None):
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_damage_is_found_and_named(tmp_path, name):
    spoil, message = CORRUPTIONS[name]
    write_folder(tmp_path / "out", filler("one"))
    spoil(tmp_path / "out")
    with pytest.raises(UserError, match=message) as caught:
        verify_folder(tmp_path / "out")
    assert "\n" not in caught.value.what


def test_nothing_is_written_into_a_checkpoint_but_measurements(tmp_path):
    write_folder(tmp_path / "out", lambda folder: (folder / "model.safetensors").touch())
    for write in (lambda path: write_file(path, "x"), lambda path: write_folder(path, filler("one")), require_writable):
        with pytest.raises(UserError, match="would lie within a checkpoint, whose files are fixed"):
            write(tmp_path / "out/deep/new")
    with pytest.raises(UserError, match="within a checkpoint"):
        require_writable(tmp_path / "out")
    write_file(tmp_path / "out/measurements/a.json", "x")
    assert names(tmp_path / "out") == ["MANIFEST.json", "measurements", "model.safetensors"]
    verify_folder(tmp_path / "out")


def test_what_systems_leave_behind_is_no_damage(tmp_path):
    write_folder(tmp_path / "out", filler("one"))
    for name in (".DS_Store", "deep/Thumbs.db", "desktop.ini", "._a.txt"):
        (tmp_path / "out" / name).touch()
    assert verify_folder(tmp_path / "out").files.keys() == {"a.txt", "deep/b.bin"}


def test_flipped_bytes_of_a_manifest_are_found(tmp_path):
    write_folder(tmp_path / "out", filler("one"))
    path = tmp_path / "out" / MANIFEST
    good = path.read_bytes()
    for place in range(0, len(good), 5):
        flip(path, place)
        with pytest.raises(UserError, match=f"{MANIFEST} is damaged"):
            verify_folder(tmp_path / "out")
        path.write_bytes(good)


def test_sizes_are_compared_even_without_hashing(tmp_path):
    write_folder(tmp_path / "out", filler("one"))
    flip(tmp_path / "out" / "a.txt")
    verify_folder(tmp_path / "out", hashes=False)
    (tmp_path / "out" / "a.txt").write_text("longer")
    with pytest.raises(UserError, match=r"a\.txt was changed"):
        verify_folder(tmp_path / "out", hashes=False)


def test_hash_names_the_contents(tmp_path):
    digests = set()
    for i, text in enumerate(["one", "one", "two"]):
        write_folder(tmp_path / str(i), filler(text))
        digests.add(manifest_of(tmp_path / str(i)).sha256)
    assert len(digests) == 2


WRITER = """
import sys
from pathlib import Path
from protoexplain.io.atomic import recover, write_file, write_folder
parent, step = Path(sys.argv[1]), int(sys.argv[2])
recover(parent)
print("ready", flush=True)
while True:
    step += 1
    def fill(folder):
        (folder / "step").write_text(str(step))
        (folder / "weights").write_bytes(bytes([step % 256]) * 1_000_000)
    write_folder(parent / f"out-{step}", fill)
    write_file(parent / "latest", f"out-{step}")
    print(step, flush=True)
"""


@pytest.mark.slow
def test_survives_twenty_kills(tmp_path):
    moments, found, interrupted = random.Random(0), 0, 0
    for _ in range(20):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(found)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(moments.uniform(0, 0.15))
            process.send_signal(signal.SIGKILL)
            told = [int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        interrupted += bool(recover(tmp_path))
        steps = sorted(int(path.name.removeprefix("out-")) for path in tmp_path.glob("out-*"))
        for step in steps[-2:]:
            verify_folder(tmp_path / f"out-{step}")
            assert int((tmp_path / f"out-{step}" / "step").read_text()) == step
        if steps or told:
            assert steps == list(range(1, steps[-1] + 1))
            assert steps[-1] >= max([found, *told])
            found = steps[-1]
        if told:
            latest = (tmp_path / "latest").read_text()
            assert (tmp_path / latest).is_dir()
            assert found - int(latest.removeprefix("out-")) <= 1
    assert found > 20
    assert interrupted > 0
    assert names(tmp_path) == sorted(["latest", *(f"out-{step}" for step in steps)])
