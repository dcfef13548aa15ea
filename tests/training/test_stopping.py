"""Training ends early where projections bring no gain."""

import math

import pytest
from tiny_runs import run_log, tiny_config, tiny_train

from protoexplain.errors import UserError
from protoexplain.training.schedule import stages_of
from protoexplain.training.stopping import projections_end
from protoexplain.training.trainer import Trainer


def test_better_before_or_after_is_a_gain_and_as_good_is_none():
    rows = [(0.5, 0.5), (0.6, 0.4), (0.5, 0.55), (0.6, 0.55)]
    assert not projections_end(rows, 1 + 1)
    assert projections_end(rows, 1)
    assert projections_end([*rows, (0.6, 0.55)], 2)
    assert not projections_end([*rows, (0.7, 0.1)], 1)
    assert projections_end([(0.5, 0.0)], 5), "a projection after which nothing is right"
    assert not projections_end([], 1)
    assert not projections_end([(math.nan, math.nan)] * 3, 1), "nothing is known"


SCHEDULE = {"warm_epochs": 1, "projections": [1, 2, 3, 4], "last_layer_epochs": 1}


def trained(planted, out, monkeypatch, accuracies, patience):
    """The names of the stages of a run whose projections have these accuracies."""
    told = iter(accuracies)
    monkeypatch.setattr(Trainer, "_accuracies", lambda run: dict.fromkeys(("validation", "test"), next(told)))
    tiny_train("protopnet", planted, out, schedule=SCHEDULE, training={"projections_without_gain": patience})
    return [line["stage"] for line in run_log(out)]


def test_a_run_goes_on_to_the_last_layer(planted, tmp_path, monkeypatch):
    accuracies = [0.5, 0.4, 0.5, 0.4, 0.5, 0.5, 0.9, 0.9]
    again = ["projection", "last layer", "joint"]
    whole = ["warm", "joint", *again, *again, *again, "projection", "last layer"]
    assert trained(planted, tmp_path / "all", monkeypatch, accuracies, None) == whole
    assert trained(planted, tmp_path / "gain", monkeypatch, accuracies, 2) == whole
    stopped = trained(planted, tmp_path / "stopped", monkeypatch, accuracies, 1)
    assert stopped == ["warm", "joint", *again, "projection", "last layer"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"data": {"validation": 0}}, "no images are held out"), ({"training": {"merge": 0.9}}, "prototypes are merged")],
)
def test_what_it_cannot_go_with_is_refused(changes, named):
    training = {"projections_without_gain": 2, **changes.get("training", {})}
    config = tiny_config("protopnet", **{**changes, "training": training})
    with pytest.raises(UserError, match=named):
        stages_of(config)
