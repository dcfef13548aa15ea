"""Several processes measure the same as one, to the last bit (gloo, CPU)."""

import json

import pytest
from forked import start
from metrics.measured_checkpoints import keep_checkpoint
from metrics.measured_in_processes import COSTLY, SETTINGS, everything, launch, plain
from several_processes import COUNT

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.metrics.runner import measure

pytestmark = pytest.mark.slow
FAMILIES = ("protopnet", "cbc")


@pytest.fixture(scope="module")
def checkpoints(planted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    for family in FAMILIES:
        keep_checkpoint(family, planted, folder / family)
    return folder


@pytest.fixture(scope="module")
def written(checkpoints, planted, tmp_path_factory):
    """The folder of what several processes wrote."""
    out = tmp_path_factory.mktemp("several")
    code, _, trouble = start(launch, checkpoints, planted, out, folder=out).ended(250)
    assert code == 0, trouble[-3000:]
    return out


def test_all_metrics_of_several_processes_are_those_of_one(checkpoints, planted, written):
    """Eight images in chunks of three: of two processes the second has one chunk, of four the last has none."""
    results = json.loads((written / "results.json").read_text())
    for family in FAMILIES:
        alone = everything(checkpoints / family, planted)
        assert results[family] == json.loads(json.dumps(alone))
        assert len(alone) > 15
        assert set(COSTLY) <= set(alone)


def test_command_with_several_processes(checkpoints, planted, written):
    """One process prints and writes."""
    path = checkpoints / "protopnet"
    results = json.loads((written / "printed-0.txt").read_text())
    assert all((written / f"printed-{rank}.txt").read_text() == "" for rank in range(1, COUNT))
    alone = plain(measure(path, planted, ["consistency", "accuracy"], SETTINGS))
    assert results == json.loads(json.dumps(alone))
    assert Checkpoint.load(path).metrics["interpretability"] == results
    assert not list(checkpoints.glob(".*.measuring"))
