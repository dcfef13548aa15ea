"""The command characteristics, as a process and within this one."""

import json
import os
import shutil
import signal
import time

import pytest
from forked import start_command

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS
from protoexplain.explanations.characteristics.table import Characteristics


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def checkpoint(tiny_checkpoint, tmp_path):
    """A copy that may be changed."""
    return shutil.copytree(tiny_checkpoint("protopnet"), tmp_path / "checkpoint")


@pytest.mark.slow
def test_interrupted_resumed_and_told(cli, checkpoint, planted, cache, tmp_path, monkeypatch):
    """A process that is interrupted leaves the checkpoint as it was; the next one goes on and finishes."""
    untouched = Checkpoint.load(checkpoint)
    own = {"XDG_CACHE_HOME": str(cache)}
    first = start_command("characteristics", checkpoint, "-d", planted, folder=tmp_path, env=own)
    tables = cache / "protoexplain" / "characteristics"

    def kept():
        """Whole entries; one that is being written does not count yet."""
        return {file.name for file in tables.glob("??/*") if "tmp" not in file.name}

    deadline = time.monotonic() + 120
    while not kept() and first.process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(first.process.pid, signal.SIGINT)
    code, _, trouble = first.ended(120)
    assert code in (130, 0), trouble
    assert kept()
    if code == 130:
        assert Checkpoint.load(checkpoint).sha256 == untouched.sha256
        assert "Traceback" not in trouble

    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    code, out, err = cli("characteristics", checkpoint, "-d", planted)
    assert code == 0, err
    loaded = Checkpoint.load(checkpoint)
    assert loaded.weights_sha256 == untouched.weights_sha256
    found = Characteristics.from_metrics(loaded.metrics)
    assert found.names == tuple(MODIFICATIONS)
    assert found.images == 24
    assert len(found.calibrated.value) == len(loaded.prototypes)
    for name in MODIFICATIONS:
        assert any(line.startswith(name) for line in out.splitlines())
    assert out.count("rototype 0 (") == 1
    assert f"{len(loaded.prototypes)} prototypes, 24 train images" in out


def test_json_and_both_splits(cli, checkpoint, planted, cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    code, out, err = cli("characteristics", checkpoint, "-d", planted, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert len(told["sentences"]) == len(Checkpoint.load(checkpoint).prototypes)
    code, out, err = cli("characteristics", checkpoint, "-d", planted, "--split", "test")
    assert code == 0, err
    metrics = Checkpoint.load(checkpoint).metrics
    train, test = (Characteristics.from_metrics(metrics, split) for split in ("train", "test"))
    assert (train.images, test.images) == (24, 8)
    assert train.to_metrics()["characteristics"]["train"] == told["metrics"]["characteristics"]["train"]
    assert {"train pairs", "test pairs"} <= set(metrics["characteristics"])


def test_results_go_into_a_copy(cli, checkpoint, planted, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    code, out, err = cli("characteristics", checkpoint, "-d", planted, "--copy-to", tmp_path / "copy", "--json")
    assert code == 0, err
    assert json.loads(out)["checkpoint"] == str(tmp_path / "copy")
    found = Characteristics.from_metrics(Checkpoint.load(tmp_path / "copy").metrics)
    assert found.images == 24
    assert "characteristics" not in Checkpoint.load(checkpoint).metrics


def test_refusals(cli, checkpoint, planted, class_folders, tmp_path):
    code, _, err = cli("characteristics", tmp_path / "nothing", "-d", planted)
    assert code == 2
    assert "no such checkpoint" in err
    code, _, err = cli("characteristics", checkpoint, "-d", class_folders)
    assert code == 2
    assert "classes" in err
    code, _, err = cli("characteristics", checkpoint, "-d", planted, "--split", "validation")
    assert code == 2
