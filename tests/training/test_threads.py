"""The number of threads is what was fastest in a short test; more are taken only where they help."""

import math
import time

import pytest
import torch
from tiny_runs import tiny_config, tiny_model, tiny_train

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.config import read_yaml
from protoexplain.training import run, threads
from protoexplain.training.run_folder import CONFIG


@pytest.fixture
def machine(monkeypatch):
    """A machine of eight threads, on which so many need so many seconds; those that were tried."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    chosen, tried = [], []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)

    def of(seconds):
        def timed(self, pictures, count, limit):
            tried.append(count)
            return seconds[count]

        monkeypatch.setattr(threads._Stopwatch, "seconds", timed)
        return chosen, tried

    return of


@pytest.mark.parametrize(
    ("seconds", "best", "tried"),
    [
        ({1: 1, 2: 15}, 1, [1, 2]),
        ({1: 1, 2: 0.95}, 1, [1, 2]),
        ({1: 1, 2: 0.6, 4: 0.59}, 2, [1, 2, 4]),
        ({1: 1, 2: 0.6, 4: 0.4, 8: 0.2}, 8, [1, 2, 4, 8]),
    ],
)
def test_more_are_tried_while_they_help(machine, seconds, best, tried):
    chosen, seen = machine(seconds)
    assert threads.choose_threads(torch.nn.Identity(), 16) == best
    assert (chosen, seen) == ([best], tried)


def test_one_is_no_choice(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(threads, "_Stopwatch", None)
    assert threads.choose_threads(torch.nn.Identity(), 16) == 1


class Sleepy(torch.nn.Module):
    """Counts how often it works."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def forward(self, images):
        self.count += 1
        time.sleep(0.01)
        return images


def test_a_slow_try_is_given_up():
    backbone = torch.nn.Sequential(*(Sleepy() for _ in range(20)))
    stopwatch = threads._Stopwatch(backbone)
    assert stopwatch.seconds(torch.zeros(1), 1, limit=0.001) == math.inf
    counts = [layer.count for layer in stopwatch._backbone]
    assert counts == [threads._TRIES] + [0] * 19
    assert all(layer.count == 0 for layer in backbone)


def test_weights_and_random_numbers_stay(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    backbone = torch.nn.Sequential(tiny_model(tiny_config("protopnet")).backbone, torch.nn.Dropout(0.5)).train()
    before, state = {name: t.clone() for name, t in backbone.state_dict().items()}, torch.get_rng_state()
    threads.choose_threads(backbone, 32)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
    assert all(parameter.grad is None for parameter in backbone.parameters())


def test_a_run_remembers_the_number(planted, tmp_path, monkeypatch):
    chosen = []
    monkeypatch.setattr(run, "choose_threads", lambda backbone, size: chosen.append(size) or 1)
    result = tiny_train("protopnet", planted, tmp_path, training={"threads": None})
    assert chosen == [64]
    assert read_yaml((tmp_path / CONFIG).read_text(), "")["training"]["threads"] == 1
    assert Checkpoint.load(result.checkpoint.path).config.training.threads == 1
