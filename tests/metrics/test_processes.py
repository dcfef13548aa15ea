"""Two processes measure the same as one, to the last bit (gloo, CPU)."""

import json

import pytest
from forked import start
from metrics.measured_checkpoints import keep_checkpoint
from metrics.two_processes import COSTLY, SETTINGS, everything, launch, plain

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
    """The folder of what two processes wrote."""
    out = tmp_path_factory.mktemp("two")
    code, _, trouble = start(launch, checkpoints, planted, out, folder=out).ended(250)
    assert code == 0, trouble[-3000:]
    return out


def test_all_metrics_of_two_processes_are_those_of_one(checkpoints, planted, written):
    """Eight images in chunks of three: the second process has one chunk, the first two."""
    results = json.loads((written / "results.json").read_text())
    for family in FAMILIES:
        alone = everything(checkpoints / family, planted)
        assert results[family] == json.loads(json.dumps(alone))
        assert len(alone) > 15
        assert set(COSTLY) <= set(alone)


def test_command_with_two_processes(checkpoints, planted, written):
    """One process prints and writes."""
    path = checkpoints / "protopnet"
    results = json.loads((written / "printed-0.txt").read_text())
    assert (written / "printed-1.txt").read_text() == ""
    alone = plain(measure(path, planted, ["consistency", "accuracy"], SETTINGS))
    assert results == json.loads(json.dumps(alone))
    assert Checkpoint.load(path).metrics["interpretability"] == results
    assert not list(checkpoints.glob(".*.measuring"))
