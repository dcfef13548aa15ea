"""Two processes measure the same as one, to the last bit (gloo, CPU)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from metrics.measured_checkpoints import keep_checkpoint
from metrics.two_processes import SETTINGS, plain

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.metrics.runner import measure

pytestmark = pytest.mark.slow
DRIVER = Path(__file__).with_name("two_processes.py")
FAMILIES = ("protopnet", "cbc")


@pytest.fixture(scope="module")
def checkpoints(planted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    for family in FAMILIES:
        keep_checkpoint(family, planted, folder / family)
    return folder


def test_all_metrics_of_two_processes_are_those_of_one(checkpoints, planted, tmp_path):
    """Eight images in chunks of three: the second process has one chunk, the first two."""
    command = [sys.executable, DRIVER, checkpoints, planted, tmp_path]
    done = subprocess.run(command, timeout=250, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads((tmp_path / "results.json").read_text())
    for family in FAMILIES:
        alone = plain(measure(checkpoints / family, planted, None, SETTINGS, foreign=planted))
        assert results[family] == json.loads(json.dumps(alone))
        assert len(alone) > 15


def test_command_with_two_processes(checkpoints, planted):
    """One process prints and writes."""
    path = checkpoints / "protopnet"
    settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    command = ["-m", "protoexplain", "measure", path, "-d", planted, "-m", "consistency,accuracy", *settings]
    devices = ["--devices", "2", "--accelerator", "cpu", "--json"]
    done = subprocess.run([sys.executable, *command, *devices], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    alone = plain(measure(path, planted, ["consistency", "accuracy"], SETTINGS))
    assert results == json.loads(json.dumps(alone))
    assert Checkpoint.load(path).metrics["interpretability"] == results
    assert not list(checkpoints.glob(".*.measuring"))
