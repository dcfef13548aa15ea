"""Measure in several processes; the first writes down what all got."""

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock

import pytest
from several_processes import COUNT
from several_processes import launch as launch_all

from protoexplain.cli.main import main as console_script
from protoexplain.metrics.runner import measure

SETTINGS = {"steps": 2, "draws": 2, "resamples": 100, "batch_size": 3, "part_rules": ["boxes"], "attack": {"steps": 2}}


COSTLY = ["funnybirds_overall", "misalignment_pac"]
"""Measured only where they are named."""


def everything(path, data, fabric=None):
    """All that is measured unnamed, and what is not."""
    results = measure(path, data, None, SETTINGS, foreign=data, fabric=fabric)
    return plain({**results, **measure(path, data, COSTLY, SETTINGS, fabric=fabric)})


def plain(results):
    return {name: result.to_dict() for name, result in results.items()}


def main(fabric, checkpoints, data, out):
    results_of = {}
    for path in sorted(Path(checkpoints).iterdir()):
        results = everything(path, Path(data), fabric)
        assert all(other == results for other in fabric.broadcast([results], 0))
        results_of[path.name] = results
    if fabric.global_rank == 0:
        (Path(out) / "results.json").write_text(json.dumps(results_of))
    with (Path(out) / f"printed-{fabric.global_rank}.txt").open("w") as printed, redirect_stdout(printed):
        command(fabric, Path(checkpoints) / "protopnet", data)


def command(fabric, checkpoint, data):
    """The command measure, which finds that its processes run already."""
    settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    words = ["measure", checkpoint, "-d", data, "-m", "consistency,accuracy", *settings, "--devices", COUNT]
    sys.argv = ["protoexplain", *map(str, words), "--accelerator", "cpu", "--json"]
    with (
        mock.patch("protoexplain.fabric.make_fabric", return_value=fabric) as made,
        mock.patch.object(fabric, "launch"),
        pytest.raises(SystemExit) as stop,
    ):
        console_script()
    assert not stop.value.code
    made.assert_called_once_with("cpu", COUNT, nodes=1)


def launch(checkpoints, data, out):
    """What was measured is in OUT/results.json; what each process printed in the command, in OUT/printed-RANK.txt."""
    launch_all(main, checkpoints, data, out)
