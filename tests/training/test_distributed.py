"""Several processes agree with each other at every stage, and with one process on what comes out (gloo, CPU)."""

import json

import pytest
import stages_in_processes
from forked import start
from several_processes import COUNT, start_as_torchrun_does
from tiny_runs import run_log, tiny_config

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.folders import find_checkpoints
from protoexplain.config import parse, read_yaml_file
from protoexplain.data.dataset_view import view_of_run
from protoexplain.training.verify import verify

pytestmark = pytest.mark.slow
TOLERANCE = 2e-3
"""Relative, of what a training logs: sums over processes are rounded otherwise, which steps of Adam enlarge."""


@pytest.fixture(scope="module")
def told(planted, tmp_path_factory):
    out = tmp_path_factory.mktemp("several")
    code, _, trouble = start(stages_in_processes.launch, planted, out, folder=out).ended(250)
    assert code == 0, trouble
    return json.loads((out / "told.json").read_text())


@pytest.mark.parametrize("family", stages_in_processes.FAMILIES)
def test_processes_have_equal_weights_after_every_stage(family, told):
    rows = told[family]["stages"]
    assert len(rows) >= 2
    assert all(row["differ"] == [] for row in rows), rows


@pytest.mark.parametrize("family", stages_in_processes.FAMILIES)
def test_patches_are_those_of_one_process(family, told):
    assert told[family]["images"] % 2, "an even number of images would not show uneven shares"
    for branch in told[family]["patches"]:
        assert branch == {"image": True, "row": True, "column": True, "patch": True}


@pytest.mark.parametrize("family", stages_in_processes.FAMILIES)
def test_each_process_computes_its_part_of_a_cache_and_sees_all_of_it(family, told):
    caches = told[family]["caches"]
    assert [cache["images"] for cache in caches] == [told[family]["images"], 1] * 2
    for cache in caches:
        assert sum(cache["shares"]) == cache["images"], "no image is computed twice, or not at all"
        assert max(cache["shares"]) - min(cache["shares"]) <= 1
        assert all(cache["equal"])


@pytest.mark.parametrize("family", stages_in_processes.FAMILIES)
def test_accuracy_counts_every_image_once(family, told):
    together, alone = told[family]["accuracy"]
    assert together == pytest.approx(alone, abs=1e-9)


def test_prototypes_follow_the_patches_of_all_processes(told):
    assert told["moved together"]


def test_processes_that_torchrun_starts_give_what_one_gives(planted, tiny_run, tmp_path):
    """One process writes: one log, one checkpoint, one answer; and the checkpoint proves itself."""
    config = tiny_config("protopnet")
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    out = tmp_path / "run"
    words = ["train", planted, "-c", tmp_path / "config.yaml", "-o", out, "--json"]
    done = [started.ended() for started in start_as_torchrun_does(*words, folder=tmp_path)]
    assert [code for code, _, _ in done] == [0] * COUNT, done[0][2]
    assert [bool(text) for _, text, _ in done] == [True, *[False] * (COUNT - 1)]
    assert json.loads(done[0][1])["checkpoint"] == str(out / "best")
    assert (out / "best") in find_checkpoints(out)
    assert {path.name for path in out.iterdir()} <= {
        "best", "last", "config.yaml", "data.json", "metrics.jsonl", "tensorboard", ".lock",
    }  # fmt: skip
    report = verify(Checkpoint.load(out / "best"), view_of_run(config.data, planted))
    assert report.passed, report.as_text()
    assert config.training.devices == 1
    assert parse(read_yaml_file(out / "config.yaml")).training.devices == COUNT
    alone = run_log(tiny_run("protopnet").checkpoint.path.parent)
    for one, several in zip(alone, run_log(out), strict=True):
        assert several.pop("stage") == one.pop("stage")
        assert several == pytest.approx(one, rel=TOLERANCE)
