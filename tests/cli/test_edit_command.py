"""The command edit as a process: a file of decisions becomes a new checkpoint that proves itself."""

import json
import subprocess
import sys

import pytest
from tiny_runs import tiny_train

from protoexplain.checkpoint.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def parent(planted, tmp_path_factory):
    return tiny_train("protopnet", planted, tmp_path_factory.mktemp("edit") / "run").checkpoint


def run(*words):
    return subprocess.run([sys.executable, "-m", "protoexplain", *map(str, words)], capture_output=True, text=True)


def test_decisions_make_a_new_checkpoint(parent, planted, tmp_path):
    file, out = tmp_path / "decisions.yaml", tmp_path / "new"
    file.write_text(
        f"format: 1\nweights_sha256: {parent.weights_sha256}\nepochs: 2\ndecisions:\n"
        "  - {prototype: 1, do: remove, reason: background, note: only sky, who: Ada, date: 2030-01-31}\n"
        "  - {prototype: 2, do: reproject, reason: spurious}\n"
    )
    done = run("edit", parent.path, "--decisions", file, "--data", planted, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["report"]["after"]["prototypes"] == len(parent.prototypes) - 1
    new = Checkpoint.load(out)
    assert new.metrics["test_accuracy"] == told["report"]["after"]["test"]["hits"] / 8
    assert new.command.startswith("protoexplain edit")
    assert [row["who"] for row in new.metrics["edits"]] == ["Ada", ""]
    checked = run("verify", out, "--data", planted)
    assert checked.returncode == 0, checked.stdout
    again = run("edit", parent.path, "--decisions", file, "--data", planted, "--out", out)
    assert again.returncode == 2
    assert "already" in again.stderr
    assert "Traceback" not in again.stderr


def test_text_and_mistakes(cli, parent, planted, tmp_path):
    file = tmp_path / "decisions.yaml"
    file.write_text("epochs: 1\ndecisions: [{prototype: 0, do: remove, reason: other}]\n")
    code, told, trouble = cli("edit", parent.path, "--decisions", file, "-d", planted, "-o", tmp_path / "new")
    assert code == 0, trouble
    assert "test accuracy" in told
    assert str(tmp_path / "new") in told
    file.write_text("decisions: [{prototype: 0, do: remove, reason: other, notes: x}]\n")
    code, _, trouble = cli("edit", parent.path, "--decisions", file, "-d", planted, "-o", tmp_path / "other")
    assert code == 2
    assert "did you mean 'note'" in trouble
    assert not (tmp_path / "other").exists()
