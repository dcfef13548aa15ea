"""The check of a device, on the CPU: the same code path, and what it tells of work that fails."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pretended_device import pretended_device, pretended_fabric
from tiny_runs import tiny_config, tiny_model

from benchmarks import device_cell, device_check, device_compare, device_family, device_step
from benchmarks.device_compare import ALLOWED, of_forward, of_search
from benchmarks.device_table import Cell, write_tables
from protoexplain.training.projection import replace_prototypes, search


@pytest.fixture
def here(monkeypatch):
    """Cells are filled in this process."""

    def run(command, **_):
        name, device, precision, *paths = command[3:]
        device_cell.run_cell(name, device, precision, *map(Path, paths))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(device_check.subprocess, "run", run)


def test_a_family_and_the_step_on_the_cpu(here, tmp_path, capsys):
    cells = device_check.check(["cbc"], "cpu", 4, tmp_path)
    found = {(cell.name, cell.precision): cell for cell in cells}
    assert len(found) == 2 * len(ALLOWED)
    for name, works in (("cbc", device_family.WORKS), ("step", device_step.WORKS)):
        assert [line["work"] for line in found[name, "float32"].lines] == list(works)
        assert found[name, "bfloat16"].left_out
    assert write_tables(cells, "cpu", tmp_path / "told" / "cpu.md") == 0
    told = capsys.readouterr().out
    assert "On a CPU" in told
    assert told.count("pass, ") == 2
    assert told == (tmp_path / "told" / "cpu.md").read_text() + "\n"
    assert len(json.loads((tmp_path / "told" / "cpu.json").read_text())) == len(cells)


def test_work_that_fails_stops_nothing_else(here, monkeypatch, tmp_path, capsys):
    def fails(_):
        raise RuntimeError("expected all tensors on one device\nand more")

    works = {"forward": fails, "edit": lambda _: [device_family.Deviation("logits", 0.5, 0.1)], "explain": lambda _: []}
    monkeypatch.setattr(device_family, "WORKS", works)
    cell = device_check.run("protopnet", "cpu", "float32", tmp_path, float("inf"))
    assert [line["work"] for line in cell.lines] == list(works)
    assert cell.failures == [
        "forward: RuntimeError: expected all tensors on one device",
        "edit: logits deviates by 5.0e-01, allowed 0.1",
    ]
    late = device_check.run("protopnet", "cpu", "float32", tmp_path, 0.0)
    assert late.left_out
    others = [Cell("protopnet", each, (), "not run") for each in ALLOWED if each != "float32"]
    assert write_tables([cell, *others], "cpu", tmp_path / "told.md") == 1
    assert "**FAIL** 2: forward: RuntimeError" in capsys.readouterr().out
    assert "and more" in (tmp_path / "told.log").read_text()


def test_a_process_that_dies_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(device_check.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=-11))
    assert device_check.run("cbc", "cpu", "float32", tmp_path, float("inf")).failures == ["the process ended with -11"]


def test_numbers_of_a_device_are_compared_with_those_of_the_cpu():
    model, images = tiny_model(tiny_config("protopnet")), torch.rand(4, 3, 64, 64)
    with pretended_device():
        fabric = pretended_fabric()
        deviations = of_forward(fabric, model, images, "float32")
        found, note = of_search(fabric, model, images, torch.arange(4), "float32")
    assert len(deviations + found) == 5
    assert all(one.passed for one in deviations + found)
    assert note == "0 of 8 patches lie elsewhere"


def test_rounding_of_a_distance_of_zero_is_no_deviation(monkeypatch):
    model, images, labels = tiny_model(tiny_config("protopnet")), torch.rand(4, 3, 64, 64), torch.arange(4)
    replace_prototypes(model, search(model.eval(), [(images, labels, labels)]))
    (written,) = search(model, [(images, labels, labels)])
    assert float(written.similarity.abs().max()) < 1e-4
    rounded = replace(written, similarity=written.similarity - 1e-5)
    found = iter([[written], [rounded]])
    monkeypatch.setattr(device_compare, "search", lambda *_: next(found))
    with pretended_device():
        deviations, _ = of_search(pretended_fabric(), model, images, labels, "float32")
    assert all(one.passed for one in deviations)
    assert deviations[0].largest > 0


def test_missing_numbers_fail():
    assert not device_family.Deviation("logits", float("nan"), 1.0).passed
