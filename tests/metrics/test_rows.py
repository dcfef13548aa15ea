"""What was measured of a checkpoint, as rows for people."""

import math
from dataclasses import asdict, replace

import pytest
from metrics.measured_checkpoints import keep_checkpoint
from metrics.observed import observe

from protoexplain.errors import UserError
from protoexplain.io.checkpoint import add_metrics
from protoexplain.metrics.registry import get_metric, metric_names
from protoexplain.metrics.rows import metric_row, metric_rows

LABELS = (0, 0, 0, 1, 1, 2, 2, 3)


def measured(name, **changes):
    metric = get_metric(name)
    result = metric.measured(name, observe(LABELS), metric.settings())
    return replace(result, score=replace(result.score, **changes))


def test_rows_of_a_checkpoint(planted, tmp_path):
    checkpoint = keep_checkpoint("protopnet", planted, tmp_path / "kept")
    assert metric_rows(checkpoint) == ()
    results = {name: measured(name) for name in metric_names()}
    add_metrics(checkpoint.path, {"interpretability": {name: result.to_dict() for name, result in results.items()}})
    rows = {row.name: row for row in metric_rows(checkpoint.path)}
    assert set(rows) == set(results)
    for name, row in rows.items():
        metric, score = get_metric(name), results[name].score
        assert (row.title, row.unit, row.higher_is_better) == (metric.title, metric.unit, metric.higher_is_better)
        assert (row.value, row.low, row.high) == (score.value, score.low, score.high)
        assert (row.n_used, row.over, row.excluded) == (score.n_used, score.over, score.excluded)
        assert row.explanation == metric.help
        assert row.baselines == score.baselines
        assert bool(row.verdict) == (metric.higher_is_better is not None and bool(score.baselines))


@pytest.mark.parametrize(
    ("low", "verdict"),
    [
        (60.0, "Better than its baselines (centre peak 55.0, random peak 10.0)."),
        (50.0, "Not shown to be better than a baseline (centre peak 55.0)."),
    ],
)
def test_verdict_counts_the_interval(low, verdict):
    baselines = {"centre peak": 55.0, "random peak": 10.0}
    row = metric_row(measured("consistency", value=70.0, low=low, high=80.0, baselines=baselines))
    assert row.verdict == verdict


def test_what_could_not_be_measured_is_none():
    row = metric_row(measured("consistency", value=math.nan, low=None, high=None, baselines={"centre peak": math.nan}))
    assert row.value is None
    assert row.baselines == {"centre peak": None}
    assert row.verdict == ""
    assert asdict(row)["name"] == "consistency"


def test_strange_metrics_are_told(planted, tmp_path):
    checkpoint = keep_checkpoint("protopnet", planted, tmp_path / "kept")
    add_metrics(checkpoint.path, {"interpretability": {"accuracy": 7}})
    with pytest.raises(UserError, match="the measured metrics cannot be read"):
        metric_rows(checkpoint.path)
