"""An interrupted run that is resumed ends as if nothing had happened, and as in every other process, bit for bit (CPU,
one thread)."""

import functools
import itertools
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import killed_runs
import pytest
import torch
import undisturbed_runs
from forked import start, start_command
from tiny_runs import run_log, same_tensors, tiny_config, tiny_train

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.config import merged
from protoexplain.errors import UserError
from protoexplain.io import atomic
from protoexplain.models.backbones import Backbone
from protoexplain.models.registry import family_names, get_family
from protoexplain.training.callbacks import Interrupted
from protoexplain.training.schedule import stages_of
from protoexplain.training.state import STATE_FILE

pytestmark = pytest.mark.slow

TWICE = {"training": {"passes": 2, "cached_views": 2}}
"""An epoch of several passes, and a cache of several views."""
SMALL = {"model": {"backbone": {"stride": 8}}, "data": {"image_size": 32}}
"""Images whose maps have 4 x 4 cells."""


class Stopper:
    """Interrupts after so many ticks."""

    def __init__(self, ticks=None):
        self.left, self.ticks = ticks, 0

    def __call__(self):
        self.ticks += 1
        return self.left is not None and self.ticks >= self.left


def twice(family):
    """The changes to a family's configuration, with small images where it does not state their size."""
    return TWICE if "image_size" in get_family(family).tiny else merged(TWICE, SMALL)


def weights(out):
    return {
        name: Checkpoint.load(out / name).model().state_dict() for name in ("best", "last") if (out / name).exists()
    }


def assert_same_end(out, whole):
    assert run_log(out) == run_log(whole)
    found, expected = weights(out), weights(whole)
    assert found.keys() == expected.keys()
    assert all(same_tensors(found[name], expected[name]) for name in expected)
    assert Checkpoint.load(out / "best").prototypes == Checkpoint.load(whole / "best").prototypes
    assert not (out / STATE_FILE).exists()
    assert not list(out.glob(".cache-*"))


@pytest.fixture(scope="module")
def whole(planted, tmp_path_factory):
    """family -> folder of its undisturbed run, in a process with another order of sets, and the number of its ticks."""

    @functools.cache
    def run(family):
        folder = tmp_path_factory.mktemp(family)
        done = start(undisturbed_runs.main, family, planted, folder / "run", twice(family), folder=folder).ended()
        assert done[0] == 0, done[2]
        order, ticks = map(int, done[1].split())
        assert order != hash("order")
        return folder / "run", ticks

    return run


def place(out):
    """Where the saved state goes on: stage, finished epochs, finished steps of the running epoch."""
    state = torch.load(out / STATE_FILE, map_location="cpu", weights_only=True)
    return state["stage"], state["epoch"], state["sums"]["steps"]


@pytest.mark.parametrize("family", family_names())
def test_interrupted_again_and_again(family, planted, tmp_path, whole):
    """Stops soon, then at random steps far enough from each other that filled caches are used."""
    out, (reference, _), numbers = tmp_path / "run", whole(family), random.Random(family)
    places = set()
    for _ in range(100):
        try:
            stopper = Stopper(numbers.randint(10, 14) if places else 4)
            tiny_train(family, planted, out, options={"interrupted": stopper, "resume": True}, **twice(family))
            break
        except Interrupted:
            places.add(place(out))
            assert not (out / "best").exists()
    stages = get_family(family).stages(tiny_config(family).schedule)
    assert {stage for stage, _, _ in places} >= set(range(len(stages)))
    assert any(steps > 0 for _, _, steps in places), "no stop in mid-epoch"
    assert any(epoch > 0 for _, epoch, _ in places), "no stop in a later epoch"
    assert_same_end(out, reference)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.97])
def test_interrupted_once(share, planted, tmp_path, whole):
    reference, ticks = whole("protopnet")
    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        tiny_train(
            "protopnet", planted, out, options={"interrupted": Stopper(int(share * ticks))}, **twice("protopnet")
        )
    tiny_train("protopnet", planted, out, options={"resume": True}, **twice("protopnet"))
    assert_same_end(out, reference)


@pytest.mark.parametrize("how", ["random", "parts"])
def test_fine_tuning_and_first_values_of_prototypes_are_part_of_the_run(how, planted, tmp_path):
    """Stops in the first classifier's epochs, while features are cached for the first stage, and before and after
    prototypes were merged; with parts, unsteady prototypes are dropped between the two.
    """
    first = {"epochs": 2, "parts": 2, "steady": 1.0} if how == "parts" else {"epochs": 2}
    prepared = merged(
        twice("st_protopnet"), {"model": {"start": how}, "training": {"fine_tuning": first, "merge": 0.3}}
    )
    tiny_train("st_protopnet", planted, tmp_path / "whole", **prepared)
    numbers, places = random.Random(0), set()
    for _ in range(100):
        try:
            merging = bool(places) and max(places)[0] in (2, 3)
            steps = 4 if merging else numbers.randint(16, 20)
            stopper = Stopper(steps if len(places) > 1 else (5, 9)[len(places)])
            options = {"interrupted": stopper, "resume": True}
            tiny_train("st_protopnet", planted, tmp_path / "run", options=options, **prepared)
            break
        except Interrupted:
            places.add(place(tmp_path / "run"))
    stages = stages_of(Checkpoint.load(tmp_path / "whole" / "best").config)
    assert {stage for stage, _, _ in places} >= set(range(len(stages)))
    assert (1, 0, 0) in places, "no stop between the first values and the first step"
    assert_same_end(tmp_path / "run", tmp_path / "whole")


def test_random_numbers_of_the_model_go_on(planted, tmp_path, monkeypatch):
    """Dropout draws from torch's own generator, whose state belongs to the run's."""
    plain = Backbone.forward

    def dropping(self, images):
        return torch.nn.functional.dropout(plain(self, images), 0.3, self.training)

    monkeypatch.setattr(Backbone, "forward", dropping)
    uncached = {"training": {"cached_views": 0}}
    tiny_train("protopnet", planted, tmp_path / "whole", **uncached)
    for ticks in (4, 5):
        options = {"interrupted": Stopper(ticks), "resume": True}
        with pytest.raises(Interrupted):
            tiny_train("protopnet", planted, tmp_path / "run", options=options, **uncached)
        torch.manual_seed(ticks)
    tiny_train("protopnet", planted, tmp_path / "run", options={"resume": True}, **uncached)
    assert_same_end(tmp_path / "run", tmp_path / "whole")


def test_killed(planted, tmp_path, whole):
    """SIGKILL in the first stage, in the joint stage, while searching patches, and in the last stage."""
    reference, ticks = whole("protopnet")
    config = tmp_path / "config.yaml"
    config.write_text(tiny_config("protopnet", **twice("protopnet")).to_yaml())
    points = [str(int(ticks * share)) for share in (0.2, 0.35, 0.35, 0.3)]
    driver = start(killed_runs.main, config, planted, tmp_path / "run", *points, folder=tmp_path)
    code, _, trouble = driver.ended()
    assert code == 0, trouble
    assert_same_end(tmp_path / "run", reference)


def test_full_disk_at_any_write(planted, tmp_path, whole, monkeypatch):
    """Each attempt goes on from the last one and gets a little further before its disk is full."""
    reference, _ = whole("protopnet")
    out, struck = tmp_path / "run", set()
    for n in (1, 2, 3, 5, 9, 20, 1000):
        monkeypatch.setattr(atomic, "_writes", itertools.count(1))
        monkeypatch.setenv(atomic.FAULT_VARIABLE, f"write:{n}")
        try:
            tiny_train("protopnet", planted, out, options={"resume": True}, **twice("protopnet"))
            break
        except UserError as error:
            assert "the disk is full" in error.what  # noqa: PT017
            struck.add(Path(error.where).relative_to(out).parts[0].partition("-")[0])
            assert not list(out.rglob("*.tmp-*"))
            assert not (out / "best").exists()
    assert struck >= {"config.yaml", "data.json", "metrics.jsonl", ".cache", "state.pt", "best"}
    assert_same_end(out, reference)


def test_data_that_vanish_and_come_back(planted, tmp_path, whole):
    reference, ticks = whole("protopnet")
    data, away, out = shutil.copytree(planted, tmp_path / "birds"), tmp_path / "away", tmp_path / "run"
    ticked = itertools.count(1)

    def vanish():
        if next(ticked) == ticks // 2:
            data.rename(away)
        return False

    with pytest.raises(UserError, match="No such file"):
        tiny_train("protopnet", data, out, options={"interrupted": vanish}, **twice("protopnet"))
    with pytest.raises(UserError, match="the data set is missing"):
        tiny_train("protopnet", data, out, options={"resume": True}, **twice("protopnet"))
    away.rename(data)
    tiny_train("protopnet", data, out, options={"resume": True}, **twice("protopnet"))
    assert_same_end(out, reference)


class TestRefusals:
    @pytest.fixture
    def stopped(self, planted, tmp_path):
        out = tmp_path / "run"
        with pytest.raises(Interrupted):
            tiny_train("protopnet", planted, out, options={"interrupted": Stopper(12)})
        return out

    def test_changed_configuration(self, planted, stopped):
        with pytest.raises(UserError, match=r"schedule.lr_addon was 0.003 and is 1e-05"):
            tiny_train("protopnet", planted, stopped, options={"resume": True}, schedule={"lr_addon": 1e-5})
        assert (stopped / STATE_FILE).exists()

    def test_changed_data(self, planted, stopped, tmp_path):
        other = shutil.copytree(planted, tmp_path / "other")
        boxes = other / "bounding_boxes.txt"
        boxes.write_text(boxes.read_text().replace("1 ", "1 1", 1))
        with pytest.raises(UserError, match=r"data.fingerprint was \w+... and is"):
            tiny_train("protopnet", other, stopped, options={"resume": True})

    def test_state_of_another_version(self, planted, stopped):
        state = torch.load(stopped / STATE_FILE, weights_only=True)
        del state["stage"]
        torch.save(state, stopped / STATE_FILE)
        with pytest.raises(UserError, match="the state of the run cannot be read"):
            tiny_train("protopnet", planted, stopped, options={"resume": True})

    def test_without_the_word_resume(self, planted, stopped):
        with pytest.raises(UserError, match="add --resume"):
            tiny_train("protopnet", planted, stopped)


def test_terminated_command_saves_its_state_and_goes_on(cli, planted, tmp_path):
    long = {"schedule": {"last_layer_epochs": 150}}
    config = tmp_path / "config.yaml"
    config.write_text(tiny_config("protopnet", **long).to_yaml())
    out = tmp_path / "run"
    command = start_command("train", "-c", config, "-d", planted, "-o", out, folder=tmp_path)
    deadline = time.monotonic() + 120
    while not ((out / "metrics.jsonl").exists() and len(run_log(out)) >= 8):
        assert command.process.is_alive(), command.ended()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(command.process.pid, signal.SIGTERM)
    code, told, trouble = command.ended(30)
    assert code == 143, trouble
    assert told.endswith(f"stopped; go on with: protoexplain train --resume {out}\n")
    assert "Traceback" not in trouble
    assert place(out)[1] < 150
    code, _, trouble = cli("train", "--resume", out)
    assert code == 0, trouble
    tiny_train("protopnet", planted, tmp_path / "whole", **long)
    assert_same_end(out, tmp_path / "whole")
    assert "protoexplain train --config config.yaml" in (out / "best" / "README.md").read_text()
    assert json.loads((out / "best" / "metrics.json").read_text())["projections"]
