"""kill -9 at random moments of commands on checkpoints: nothing is corrupt, and the same command then ends as if
nothing had happened.

    PROTOEXPLAIN_KILLS=20 python -m pytest tests/cli/test_killed_commands.py
"""

import json
import os
import random
import shutil
import time

import pytest
from forked import start_command

from protoexplain.checkpoint.checkpoint import Checkpoint

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("PROTOEXPLAIN_KILLS", "2"))


def weights_of(out):
    """What a command that makes a checkpoint has made; every file of it is compared with its SHA-256."""
    return Checkpoint.load(out).weights_sha256


def report_of(out):
    content = json.loads(out.read_text())
    del content["made"], content["reproduce"]
    return content


def characteristics_of(checkpoint):
    return Checkpoint.load(checkpoint).metrics.get("characteristics")


@pytest.fixture
def commands(tiny_checkpoint, planted, tmp_path):
    """Name -> (words of a command that makes `out`, what it has made of it)."""
    decisions = tmp_path / "decisions.yaml"
    decisions.write_text("epochs: 2\ndecisions: [{prototype: 1, do: remove, reason: other}]\n")
    pictures = sorted(planted.rglob("*.jpg"))[:3] or sorted(planted.rglob("*.png"))[:3]
    model = tiny_checkpoint("protopnet")

    def measured(out):
        if not out.exists():
            shutil.copytree(model, out)
        return ["characteristics", out, "-d", planted]

    return {
        "project": (lambda out: ["project", model, "-d", planted, "-o", out], weights_of),
        "edit": (lambda out: ["edit", model, "--decisions", decisions, "-d", planted, "-o", out], weights_of),
        "report": (lambda out: ["report", model, *pictures, "-d", planted, "-o", out], report_of),
        "characteristics": (measured, characteristics_of),
    }


@pytest.mark.parametrize("name", ["project", "edit", "report", "characteristics"])
def test_killed_at_random_moments(name, commands, tmp_path):
    words, made = commands[name]
    suffix = ".json" if name == "report" else ""
    began = time.monotonic()
    end(words(tmp_path / f"whole{suffix}"), tmp_path, "undisturbed")
    took, whole = time.monotonic() - began, made(tmp_path / f"whole{suffix}")
    out, moments, killed = tmp_path / f"out{suffix}", random.Random(name), 0
    for _ in range(KILLS):
        command = begin(words(out), tmp_path, "disturbed")
        time.sleep(moments.uniform(0, took))
        command.process.kill()
        killed += command.ended()[0] < 0
        if out.exists():
            assert made(out) in (whole, None), "it is whole, or was not begun"
            if name in ("project", "edit"):
                shutil.rmtree(out)
    end(words(out), tmp_path, "disturbed")
    assert made(out) == whole
    assert not list(tmp_path.glob("*.tmp-*"))
    assert killed or KILLS < 5


def begin(words, tmp_path, cache):
    return start_command(*words, folder=tmp_path, env={"XDG_CACHE_HOME": str(tmp_path / cache)})


def end(words, tmp_path, cache):
    code, _, trouble = begin(words, tmp_path, cache).ended()
    assert code == 0, trouble
