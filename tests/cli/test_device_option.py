"""Commands that run a model take --device, and run it there."""

import json
import shutil

import pytest
import torch
from pretended_device import DEVICE, pretended_device, pretended_fabric

from protoexplain import devices
from protoexplain import fabric as fabrics
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.read import read_image_set
from protoexplain.editing import preview
from protoexplain.training import checkpoint_ops as rework

DATA = ["--data", "{data}"]
OUT = ["--out", "{out}"]
COMMANDS = {
    "evaluate": ["{best}", *DATA],
    "verify": ["{best}", *DATA],
    "explain": ["{best}", "{image}", *OUT, "--rows", "2", "--characteristics", "--change", "hue=0.1"],
    "attribute": ["{best}", "{image}", *OUT, "--methods", "saliency,grad-cam"],
    "prototypes": ["{best}", *DATA, *OUT, "--nearest", "2"],
    "characteristics": ["{copy}", *DATA, "--split", "test"],
    "report": ["{best}", "{image}", *DATA, "--out", "{out}/report.json"],
    "measure": ["{copy}", *DATA, "--metrics", "accuracy"],
    "compare": ["{copy}", "{best}", *DATA, "--metrics", "accuracy"],
    "project": ["{best}", *DATA, *OUT, "--epochs", "1"],
    "prune": ["{best}", *DATA, *OUT, "--epochs", "1", "--threshold", "1"],
    "edit": ["{best}", *DATA, *OUT, "--decisions", "{decisions}"],
}


@pytest.fixture(scope="module")
def best(tiny_checkpoint):
    return Checkpoint.load(tiny_checkpoint("protopnet"))


@pytest.fixture
def words(best, planted, tmp_path, monkeypatch):
    """Command -> its arguments, on files of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    decisions = {"format": 1, "epochs": 1, "decisions": [{"prototype": 0, "do": "remove", "reason": "other"}]}
    (tmp_path / "decisions.json").write_text(json.dumps(decisions))
    places = {
        "best": shutil.copytree(best.path, tmp_path / "best"),
        "copy": shutil.copytree(best.path, tmp_path / "copy"),
        "data": planted,
        "out": tmp_path / "out",
        "image": read_image_set(planted).split("test")[0].path,
        "decisions": tmp_path / "decisions.json",
    }
    return lambda command: [command, *(word.format(**places) for word in COMMANDS[command])]


@pytest.mark.parametrize("command", COMMANDS)
def test_models_run_on_the_device(command, cli, words, monkeypatch):
    asked, used = [], []
    model, make_fabric = Checkpoint.model, fabrics.make_fabric

    def noted(self, device="cpu"):
        used.append(torch.device(device))
        return model(self, device)

    def resolved(name="auto", where="--device"):
        asked.append(name)
        return DEVICE

    def fabric(device="auto", processes=1, nodes=1):
        if device == "cpu":  # heads are refitted there
            return make_fabric(device)
        asked.append(device)
        return pretended_fabric()

    monkeypatch.setattr(Checkpoint, "model", noted)
    for module in (devices, preview):
        monkeypatch.setattr(module, "resolve_device", resolved)
    for module in (fabrics, rework):
        monkeypatch.setattr(module, "make_fabric", fabric)
    with pretended_device():
        code, _, trouble = cli(*words(command), "--device", "cuda:7")
    assert code == 0, trouble
    assert asked == ["cuda:7"]
    assert used[0] == DEVICE


@pytest.mark.parametrize("command", [*COMMANDS, "app"])
def test_an_absent_device_is_told_before_anything_is_done(command, cli, words, tmp_path, monkeypatch):
    monkeypatch.setattr("protoexplain.devices.available_kinds", lambda: ("cpu",))
    arguments = ["app", "--checkpoints", tmp_path] if command == "app" else words(command)
    code, told, trouble = cli(*arguments, "--device", "cuda")
    assert (code, told) == (2, "")
    assert "this computer has no device 'cuda'" in trouble
    assert "--device" in trouble
    assert "use auto or cpu" in trouble
    assert not (tmp_path / "out").exists()


def test_measure_still_knows_the_old_name(cli, words, monkeypatch):
    monkeypatch.setattr("protoexplain.devices.available_kinds", lambda: ("cpu",))
    assert "no device 'mps'" in cli(*words("measure"), "--accelerator", "mps")[2]
    assert "unknown device 'tpu'" in cli(*words("measure"), "--device", "tpu")[2]
