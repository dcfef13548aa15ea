"""Trainings of several seeds as one: what varies over trainings and what over images is told apart."""

import math
from dataclasses import replace

import pytest
from metrics.observed import observe

from protoexplain.metrics.registry import get_metric
from protoexplain.metrics.stats.seeds import SEEDS, over_seeds
from protoexplain.metrics.tables import as_latex, as_markdown

LABELS = (0, 0, 0, 1, 1, 2, 2, 3)


def training(seed, *names):
    observed = observe(LABELS, seed=seed)
    return {name: get_metric(name).measure(name, observed, get_metric(name).settings()) for name in names}


def test_means_and_deviation():
    runs = [training(seed, "consistency", "pointing_game", "used_prototypes") for seed in range(3)]
    joined = over_seeds(runs)
    assert list(joined) == list(runs[0])
    for name, result in joined.items():
        scores = [run[name].score for run in runs]
        values = [score.value for score in scores]
        mean = sum(values) / 3
        assert result.score.value == pytest.approx(mean)
        assert result.score.details[SEEDS]["values"] == values
        spread = math.sqrt(sum((value - mean) ** 2 for value in values) / 2)
        assert result.score.details[SEEDS]["deviation"] == pytest.approx(spread)
        if scores[0].low is not None:
            assert result.score.low == pytest.approx(sum(score.low for score in scores) / 3)
            assert result.score.high == pytest.approx(sum(score.high for score in scores) / 3)
        for baseline in scores[0].baselines:
            expected = sum(score.baselines[baseline] for score in scores) / 3
            assert result.score.baselines[baseline] == pytest.approx(expected)


def test_only_what_all_trainings_have():
    joined = over_seeds([training(0, "consistency", "accuracy"), training(1, "accuracy")])
    assert list(joined) == ["accuracy"]


def test_an_interval_that_one_training_lacks_is_left_out():
    runs = [training(seed, "accuracy") for seed in range(2)]
    runs[1]["accuracy"] = replace(runs[1]["accuracy"], score=replace(runs[1]["accuracy"].score, low=None, high=None))
    assert over_seeds(runs)["accuracy"].score.low is None


def test_tables_tell_both():
    runs = [training(seed, "consistency") for seed in range(2)]
    values = [run["consistency"].score.value for run in runs]
    spread = abs(values[0] - values[1]) / math.sqrt(2)
    models = {"three seeds": over_seeds(runs), "one": runs[0]}
    row = next(line for line in as_markdown(models).splitlines() if "Consistency" in line)
    _, _, several, one, *_ = row.split("|")
    assert f"{sum(values) / 2:.1f} ± {spread:.1f}" in several
    assert "±" not in one
    assert f"± {spread:.1f}" in as_latex(models)
