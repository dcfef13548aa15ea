"""The same configuration and seed give the same weights in every process, bit for bit (CPU, one thread)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from one_of_each import weights_of

from protoexplain.models.registry import family_names

DRIVER = Path(__file__).with_name("one_of_each.py")
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def test_the_order_of_sets_in_a_process_changes_nothing(planted, tmp_path, tiny_checkpoint):
    """Two processes with other orders train as this one did."""
    running = [
        subprocess.Popen(
            [sys.executable, DRIVER, planted, tmp_path / seed],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests")))},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    told = [process.communicate()[0] for process in running]
    assert all(process.returncode == 0 for process in running)
    here = [f"{family} {weights_of(tiny_checkpoint(family).parent)}" for family in family_names()]
    assert [text.splitlines() for text in told] == [here, here]
