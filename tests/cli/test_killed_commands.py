"""kill -9 at random moments of all that takes long: nothing is corrupt, what was done is there, and the same command
then ends as if nothing had happened.

    PROTOEXPLAIN_KILLS=20 python -m pytest -n 0 -m kills -s
"""

import json
import os
import random
import shutil
import time

import pytest
from forked import start, start_command
from killed_runs import attempt
from tiny_runs import run_log, tiny_config

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.training.run_log import LOG_FILE
from protoexplain.training.state import STATE_FILE

pytestmark = [pytest.mark.slow, pytest.mark.kills]
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


def measured_of(checkpoint):
    return Checkpoint.load(checkpoint).metrics.get("interpretability")


def run_of(out):
    """The checkpoints and the log of a training; None as long as it is not over."""
    models = [weights_of(path) for path in (out / "last", out / "best") if path.exists()]
    return None if (out / STATE_FILE).exists() or not (out / "best").exists() else (models, run_log(out))


def steps_of(out):
    """How many steps the log of a training tells, whose last line may be cut off."""
    return (out / LOG_FILE).read_text().count("\n") if (out / LOG_FILE).exists() else 0


ANEW = ("train", "project", "edit")
"""What is done only once: where it is over, it is done again from the beginning."""


@pytest.fixture
def works(tiny_checkpoint, planted, tmp_path):
    """Name -> (begins a process that makes `out`, what it has made of it)."""
    decisions = tmp_path / "decisions.yaml"
    decisions.write_text("epochs: 2\ndecisions: [{prototype: 1, do: remove, reason: other}]\n")
    pictures = sorted(planted.rglob("*.jpg"))[:3] or sorted(planted.rglob("*.png"))[:3]
    model, config = tiny_checkpoint("protopnet"), tiny_config("protopnet")

    def command(*words):
        return lambda out, env: start_command(*words, "-o", out, folder=tmp_path, env=env)

    def on_a_copy(*words):
        def begin(out, env):
            if not out.exists():
                shutil.copytree(model, out)
            return start_command(words[0], out, "-d", planted, *words[1:], folder=tmp_path, env=env)

        return begin

    quick = ("-m", "accuracy,consistency,stability", "--set", "resamples=100", "--set", "batch_size=1")
    return {
        "train": (lambda out, env: start(attempt, config, planted, out, 0, folder=tmp_path, env=env), run_of),
        "project": (command("project", model, "-d", planted), weights_of),
        "edit": (command("edit", model, "--decisions", decisions, "-d", planted), weights_of),
        "report": (command("report", model, *pictures, "-d", planted), report_of),
        "characteristics": (on_a_copy("characteristics"), characteristics_of),
        "measure": (on_a_copy("measure", *quick), measured_of),
    }


@pytest.mark.parametrize("name", ["train", "project", "edit", "report", "characteristics", "measure"])
def test_killed_at_random_moments(name, works, tmp_path):
    begin, made = works[name]
    suffix = ".json" if name == "report" else ""
    undisturbed, disturbed = ({"XDG_CACHE_HOME": str(tmp_path / place)} for place in ("undisturbed", "disturbed"))
    end(start(print, folder=tmp_path))  # the first process waits for torch
    began = time.monotonic()
    end(begin(tmp_path / f"whole{suffix}", undisturbed))
    took, whole = time.monotonic() - began, made(tmp_path / f"whole{suffix}")
    out, moments, killed, steps, kept = tmp_path / f"out{suffix}", random.Random(name), 0, 0, []
    for _ in range(KILLS):
        process = begin(out, disturbed)
        time.sleep(moments.uniform(0, took))
        process.process.kill()
        killed += process.ended()[0] < 0
        if out.exists():
            assert made(out) in (whole, None), "it is whole, or was not begun"
            assert steps_of(out) >= steps, "a step that was done is lost"
            steps = steps_of(out)
            kept.append(steps)
            if name in ANEW and made(out) == whole:
                shutil.rmtree(out)
                steps = 0
    end(begin(out, disturbed))
    assert made(out) == whole
    assert not list(tmp_path.rglob("*.tmp-*"))
    assert killed or KILLS < 5
    print(f"{name} takes {took:.1f} s; {killed} of {KILLS} killed while it worked", *kept if name == "train" else ())


def end(process):
    code, _, trouble = process.ended()
    assert code == 0, trouble
