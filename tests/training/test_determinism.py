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
    """A process with other orders trains as this one did."""
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    told = subprocess.run(
        [sys.executable, DRIVER, planted, tmp_path],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests")))},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    here = [f"{family} {weights_of(tiny_checkpoint(family).parent)}" for family in family_names()]
    assert told.splitlines() == here
