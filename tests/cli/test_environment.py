"""The block for reports of faults: versions, devices, caches, the state of a run, and no name of anybody."""

import getpass
import json
import socket
import time
from importlib.metadata import version
from pathlib import Path

from tiny_runs import tiny_config

from protoexplain.cli.environment import environment, private, state_of_run
from protoexplain.io.lock import OWNER
from protoexplain.training.run_folder import CONFIG
from protoexplain.training.run_log import LOG_FILE
from protoexplain.training.state import STATE_FILE


def interrupted_run(folder, data):
    """As a killed training leaves it."""
    folder.mkdir(parents=True)
    config = tiny_config("protopnet")
    data = config.data.model_copy(update={"path": str(data)})
    (folder / CONFIG).write_text(config.model_copy(update={"data": data}).to_yaml())
    (folder / STATE_FILE).write_bytes(b"state")
    (folder / LOG_FILE).write_text('{"epoch": 1, "stage": "warm"}\n{"epoch": 2, "stage": "warm"}\n{"epo')
    owner = {"process": 7, "host": socket.gethostname(), "began": time.time() - 300}
    (folder / OWNER).write_text(json.dumps(owner))
    (folder / "best.tmp-7-ab").mkdir()
    return folder


def test_the_state_of_a_run_in_a_block_to_paste(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    run = interrupted_run(tmp_path / "home" / "runs" / "birds", tmp_path / "home" / "my birds")
    code, told, trouble = cli("info", run)
    assert (code, trouble) == (0, "")
    assert str(tmp_path) not in told
    lines = {" ".join(line.split()) for line in told.splitlines()}
    assert lines >= {
        f"torch {version('torch')}",
        "folder ~/runs/birds",
        "family protopnet",
        "data path ~/my birds",
        "checkpoints none",
        "interrupted or under way state saved less than a minute ago",
        "has the folder process 7, since about 5 min ago",
        "lines in its log 2",
        'last line {"epoch": 2, "stage": "warm"}',
        "left unfinished best.tmp-7-ab",
    }
    assert json.loads(cli("info", run, "--json")[1])["run"]["lines in its log"] == "2"


def test_whatever_is_wrong_with_a_run_is_no_trouble(tmp_path):
    (tmp_path / "config.yaml").write_text("family: [")
    (tmp_path / ".lock-owner.json").write_text("{")
    told = state_of_run(tmp_path)
    assert "its settings cannot be read" in told["trouble"]
    assert (told["has the folder"], told["lines in its log"]) == ("it cannot be read", "0")


def test_names_and_the_home_folder_are_left_out(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    monkeypatch.setattr(socket, "gethostname", lambda: "thinkpad")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada"))
    told = private("/home/ada/runs /home/ada2 /data/ada/birds on thinkpad, canada:/home/ada")
    assert told == "~/runs /home/ada2 /data/USER/birds on HOST, canada:~"


def test_this_installation_without_a_device_s_driver(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    told = environment()
    assert list(told) == ["versions", "devices", "caches"]
    assert "cores" in told["devices"]["cpu"]
    assert "gpu 0" not in told["devices"]
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'NVIDIA H200, 143771 MiB, 575.1'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert environment()["devices"]["gpu 0"] == "NVIDIA H200, 143771 MiB, 575.1"
