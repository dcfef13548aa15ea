"""The command edit: a file of decisions becomes a new checkpoint that proves itself."""

import json

import pytest

from protoexplain.checkpoint.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def parent(tiny_checkpoint):
    return Checkpoint.load(tiny_checkpoint("protopnet"))


def test_decisions_make_a_new_checkpoint(cli, parent, planted, tmp_path):
    file, out = tmp_path / "decisions.yaml", tmp_path / "new"
    file.write_text(
        f"format: 1\nweights_sha256: {parent.weights_sha256}\nepochs: 2\ndecisions:\n"
        "  - {prototype: 1, do: remove, reason: background, note: only sky, who: Ada, date: 2030-01-31}\n"
        "  - {prototype: 2, do: reproject, reason: spurious}\n"
    )
    code, printed, trouble = cli("edit", parent.path, "--decisions", file, "--data", planted, "--out", out, "--json")
    assert code == 0, trouble
    told = json.loads(printed)
    assert told["report"]["after"]["prototypes"] == len(parent.prototypes) - 1
    new = Checkpoint.load(out)
    assert new.metrics["test_accuracy"] == told["report"]["after"]["test"]["hits"] / 8
    assert new.command.startswith("protoexplain edit")
    assert [row["who"] for row in new.metrics["edits"]] == ["Ada", ""]
    code, printed, _ = cli("verify", out, "--data", planted)
    assert code == 0, printed
    code, _, trouble = cli("edit", parent.path, "--decisions", file, "--data", planted, "--out", out)
    assert code == 2
    assert "already" in trouble


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
