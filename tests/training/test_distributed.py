"""Two processes agree with each other at every stage, and with one process on the patches (gloo, CPU)."""

import json
import subprocess
import sys

import pytest
import two_processes
from forked import start
from tiny_runs import SCHEDULES, run_log, tiny_raw

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.folders import find_checkpoints
from protoexplain.config import parse
from protoexplain.data.dataset_view import view_of_run
from protoexplain.training.verify import verify

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(planted, tmp_path_factory):
    out = tmp_path_factory.mktemp("two")
    code, _, trouble = start(two_processes.launch, planted, out, folder=out).ended(250)
    assert code == 0, trouble
    return json.loads((out / "told.json").read_text())


@pytest.mark.parametrize("family", two_processes.FAMILIES)
def test_processes_have_equal_weights_after_every_stage(family, told):
    rows = told[family]["stages"]
    assert len(rows) >= 2
    assert all(row["differ"] == [] for row in rows), rows


@pytest.mark.parametrize("family", two_processes.FAMILIES)
def test_patches_are_those_of_one_process(family, told):
    assert told[family]["images"] % 2, "an even number of images would not show uneven shares"
    for branch in told[family]["patches"]:
        assert branch == {"image": True, "row": True, "column": True, "patch": True}


@pytest.mark.parametrize("family", two_processes.FAMILIES)
def test_each_process_computes_its_part_of_a_cache_and_sees_all_of_it(family, told):
    caches = told[family]["caches"]
    assert [cache["images"] for cache in caches] == [told[family]["images"], 1] * 2
    for cache in caches:
        assert sum(cache["shares"]) == cache["images"], "no image is computed twice, or not at all"
        assert max(cache["shares"]) - min(cache["shares"]) <= 1
        assert cache["equal"] == [1, 1]


@pytest.mark.parametrize("family", two_processes.FAMILIES)
def test_accuracy_counts_every_image_once(family, told):
    together, alone = told[family]["accuracy"]
    assert together == pytest.approx(alone, abs=1e-9)


def test_prototypes_follow_the_patches_of_both_processes(told):
    assert told["moved together"]


def test_command_with_two_processes(planted, tmp_path):
    """One process writes: one log, one checkpoint, one answer; and the checkpoint proves itself."""
    raw = tiny_raw("protopnet", training={"devices": 2, "accelerator": "cpu"})
    config = parse(raw)
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    out = tmp_path / "run"
    command = [sys.executable, "-m", "protoexplain", "train", "-c", tmp_path / "config.yaml", "-d", planted, "-o", out]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["checkpoint"] == str(out / "best")
    assert 0 <= told["metrics"]["test_accuracy"] <= 1
    assert "Traceback" not in done.stderr
    schedule = SCHEDULES["protopnet"]
    epochs = [line for line in run_log(out) if line["stage"] != "projection"]
    assert len(epochs) == schedule["projections"][-1] + 1 + schedule["last_layer_epochs"]
    assert (out / "best") in find_checkpoints(out)
    assert {path.name for path in out.iterdir()} <= {
        "best", "last", "config.yaml", "data.json", "metrics.jsonl", "tensorboard", ".lock",
    }  # fmt: skip
    checkpoint = Checkpoint.load(out / "best")
    report = verify(checkpoint, view_of_run(config.data, planted))
    assert report.passed, report.as_text()
