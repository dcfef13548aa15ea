"""Intermediate results get their room first, and are removed only after all maps of their files are closed."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import tiny_train

from protoexplain.errors import UserError
from protoexplain.io import atomic
from protoexplain.io.scratch import ScratchTensor, remove_scratch, reserve
from protoexplain.training.callbacks import Interrupted


@pytest.fixture
def maps(monkeypatch):
    """Those that were made, each as whether it is still open."""
    made, memmap = [], np.memmap

    def mapped(*given, **named):
        found = memmap(*given, **named)
        made.append(weakref.ref(found))
        return found

    monkeypatch.setattr(np, "memmap", mapped)
    return made


@pytest.fixture
def open_at_removal(monkeypatch, maps):
    """How many maps were open whenever a folder was removed."""
    counts, rmtree = [], shutil.rmtree

    def removed(*given, **named):
        counts.append(sum(one() is not None for one in maps))
        rmtree(*given, **named)

    monkeypatch.setattr(shutil, "rmtree", removed)
    return counts


def test_maps_in_functions_that_failed_are_closed_first(tmp_path, maps, open_at_removal):
    folder = tmp_path / "scratch"
    folder.mkdir()

    def batches(values):
        yield from values

    def work():
        try:
            fail()
        finally:
            remove_scratch(folder)

    def fail():
        values = np.memmap(folder / "values", dtype=np.float32, mode="w+", shape=(3,))
        half_read = batches(values)
        next(half_read)
        try:
            raise ValueError
        except ValueError:
            raise KeyError("another one while the first was handled") from None

    with pytest.raises(KeyError):
        work()
    assert len(maps) == 1
    assert open_at_removal == [0]
    assert not folder.exists()


@pytest.mark.parametrize("steps", [2, 5], ids=["while features are cached", "within an epoch"])
def test_a_run_closes_its_feature_files_before_it_removes_them(planted, tmp_path, maps, open_at_removal, steps):
    asked = []

    def interrupted():
        asked.append(None)
        return len(asked) == steps

    with pytest.raises(Interrupted):
        tiny_train("protopnet", planted, tmp_path / "run", options={"interrupted": interrupted})
    assert len(maps) >= 1, "features were cached"
    assert len(open_at_removal) >= 1
    assert set(open_at_removal) == {0}
    assert not list((tmp_path / "run").glob(".cache-*"))


def test_a_file_gets_its_room_and_keeps_what_is_in_it(tmp_path, monkeypatch):
    path = tmp_path / "values"
    path.write_bytes(b"abc")
    with path.open("r+b") as stream:
        reserve(stream, 100_000, path)
    assert path.read_bytes() == b"abc" + bytes(99_997)
    assert path.stat().st_blocks * 512 >= 100_000
    monkeypatch.setattr(atomic, "_writes", itertools.count(1))
    monkeypatch.setenv(atomic.FAULT_VARIABLE, "write:1")
    with path.open("r+b") as stream, pytest.raises(UserError, match=r"disk is full: needs at least 0.2 MB"):
        reserve(stream, 200_000, path)
    monkeypatch.delenv(atomic.FAULT_VARIABLE)
    with path.open("r+b") as stream, pytest.raises(UserError):
        reserve(stream, 1 << 60, path)


class TestScratchTensor:
    def test_rows_come_back(self):
        numbers, kept = torch.rand(7, 3, 2), ScratchTensor((7, 3, 2), "numbers")
        for start in range(0, 7, 2):
            kept[start : start + 2] = numbers[start : start + 2]
        assert len(kept) == 7
        assert torch.equal(kept[1:6], numbers[1:6])
        assert torch.equal(kept[[6, 0, 6]], numbers[[6, 0, 6]])
        kept[:1].zero_()
        assert torch.equal(kept[:1], numbers[:1])

    def test_rows_that_nobody_looks_at_take_no_memory(self):
        state = Path("/proc/self/status")
        if not state.exists():
            pytest.skip("the system does not tell what lies in memory")

        def mapped():
            return sum(
                int(line.split()[1]) for line in state.read_text().splitlines() if line[:7] in ("RssFile", "RssShme")
            )

        kept, before = ScratchTensor((64, 1 << 18), "numbers"), mapped()
        for row in range(64):
            kept[row : row + 1] = torch.full((1, 1 << 18), float(row))
        assert sum(float(kept[row : row + 1].mean()) for row in range(64)) == 63 * 32
        assert mapped() - before < 8 << 10

    def test_a_full_disk_is_told(self, monkeypatch):
        def full(*_):
            raise OSError(errno.ENOSPC, "no space")

        monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
        with pytest.raises(UserError, match="latent maps"):
            ScratchTensor((2, 2), "latent maps")
