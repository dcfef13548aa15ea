"""The code of every notebook runs from top to bottom; parts are discovered in few steps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("protoexplain.training.part_discovery.STEPS", 25)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    exec(compile(code, str(path), "exec"), {"__name__": "__main__"})  # noqa: S102
    assert capsys.readouterr().out
    assert all(not cell.get("outputs") for cell in cells), "commit notebooks without outputs"


def test_there_are_notebooks():
    assert NOTEBOOKS
