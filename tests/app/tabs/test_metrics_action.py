"""The report on a model's metrics: groups, baselines, curves, comparison; orders that are not trusted."""

from __future__ import annotations

import base64
import dataclasses
import math
import re

import pytest

from protoexplain.checkpoint.checkpoint import add_metrics
from protoexplain.errors import UserError
from protoexplain.metrics.base import Curve, Score
from protoexplain.metrics.registry import list_metrics
from protoexplain.metrics.runner import measure
from protoexplain_app.jobs import Job, JobState
from protoexplain_app.library import Choice
from protoexplain_app.tabs.metrics import view as views
from protoexplain_app.tabs.metrics.actions import report
from protoexplain_app.tabs.metrics.groups import GROUPS, OTHERS, grouped
from protoexplain_app.tabs.metrics.measuring import MeasurementRequest, measurement_form, parse_request
from protoexplain_app.tabs.metrics.plots import plot_of, spread_of

CHOICE = Choice("a-protopnet")
NAMES = ("accuracy", "consistency", "calibration_error", "explanation_size")


@pytest.fixture(scope="module")
def results(made, birds):
    """Model -> what was measured of it."""
    return {name: measure(made / name, birds, NAMES) for name in ("a-protopnet", "b-cbc")}


@pytest.fixture
def measured(library, folder, results):
    """The library whose models were measured."""
    for name, found in results.items():
        add_metrics(folder / name, {"interpretability": {metric: result.to_dict() for metric, result in found.items()}})
    library.store.scan()
    return library


def entries(shown):
    return {entry.result.name: entry for group in shown.groups.values() for entry in group}


def test_every_metric_answers_a_question_once():
    told = [name for names in GROUPS.values() for name in names]
    assert sorted(told) == sorted(list_metrics())
    assert grouped(["accuracy", "my_own"]) == {"Can its answers be trusted?": ["accuracy"], OTHERS: ["my_own"]}


def test_the_report_says_what_was_measured(measured, results):
    shown = report(measured, CHOICE)
    assert shown.accuracy == 0.875
    assert shown.guessing == 0.25
    assert set(entries(shown)) == set(NAMES)
    found, result = entries(shown)["consistency"], results["a-protopnet"]["consistency"]
    assert found.result.score.value == pytest.approx(result.score.value)
    assert found.gauge[1] == pytest.approx(result.score.value)
    assert 0 <= found.gauge[0] <= found.gauge[1] <= found.gauge[2] <= 100
    assert [name for name, _ in found.marks] == list(result.score.baselines)
    assert found.plots[0].lines[0].name == ""
    values = result.score.per_prototype
    assert values[found.best[0]] == max(v for v in values if v is not None)
    assert values[found.worst[0]] == min(v for v in values if v is not None)
    assert entries(shown)["explanation_size"].gauge[2] <= 100


def test_it_is_taken_away_as_csv_and_latex(measured):
    page = views.report(report(measured, CHOICE), "a-protopnet", "")
    files = [base64.b64decode(text).decode() for text in re.findall(r"base64,([A-Za-z0-9+/=]+)", page)]
    assert files[0].startswith("metric,title,unit")
    assert "consistency,Consistency,%" in files[0]
    assert files[1].startswith(r"\begin{tabular}")


def test_two_models_are_compared_with_intervals(measured):
    shown = report(measured, CHOICE, "b-cbc", {"a-protopnet": "One", "b-cbc": "Other"})
    assert shown.against == "Other"
    found = entries(shown)["accuracy"]
    assert found.difference.pairing == "images"
    difference = found.result.score.value - found.other.score.value
    assert found.difference.value == pytest.approx(difference)
    assert any("intervals" in sentence for sentence in shown.summary)
    page = views.report(shown, "a-protopnet", "b-cbc")
    assert 'data-address="with=b-cbc"' in page
    assert "Other" in page


def test_nothing_measured_is_said_and_offers_are_made(library):
    shown, todo = report(library, CHOICE), measurement_form(library, CHOICE)
    assert shown.groups == {}
    assert "Nothing was measured yet" in views.report(shown, "a-protopnet", "")
    offers = {offer.name: offer for group in todo.groups.values() for offer in group}
    assert sorted(offers) == sorted(list_metrics())
    assert offers["foreign_accepted"].lacks
    assert offers["deletion"].forward_passes > 20 > offers["accuracy"].forward_passes
    page = views.measure(todo)
    assert re.search(r'value="foreign_accepted" disabled', page)
    assert re.search(r'value="accuracy" checked', page)
    assert not re.search(r'value="deletion" checked', page)


def test_measured_metrics_are_not_ticked_again(measured):
    page = views.measure(measurement_form(measured, CHOICE))
    assert not re.search(r'value="accuracy" checked', page)


def test_without_data_the_reason_is_said(library):
    library.measurements.examples.folder = None
    todo = measurement_form(library, CHOICE)
    assert "no data set" in todo.trouble[0]
    assert "--data" in views.measure(todo)


@pytest.mark.parametrize(
    ("job", "text"),
    [
        (Job(JobState.RUNNING, "looking at test images", 8, 12, ("accuracy",)), "8 of 12"),
        (Job(JobState.WAITING, "waiting for its turn", result=("accuracy",)), "waiting for its turn"),
        (Job(JobState.FINISHED, result=("accuracy",)), "1 metric was measured"),
        (Job(JobState.CANCELLED, result=("accuracy", "purity")), "goes on where it was"),
        (Job(JobState.FAILED, result=("accuracy",), error=UserError("<b>no</b>")), "&lt;b&gt;no"),
    ],
)
def test_how_far_a_measurement_is(library, job, text):
    page = views.measure(dataclasses.replace(measurement_form(library, CHOICE), job=job))
    assert text in page
    assert ('value="cancel"' in page) == job.under_way


def test_unreadable_measurements_are_an_error(library, folder):
    add_metrics(folder / "a-protopnet", {"interpretability": {"accuracy": {"value": "high"}}})
    library.store.scan()
    with pytest.raises(UserError, match="cannot be read"):
        report(library, CHOICE)


def test_orders_are_not_trusted():
    asked = "do=start&metric=accuracy&metric=../../etc&metric=purity&images=10"
    assert parse_request(asked) == MeasurementRequest("start", ("accuracy", "purity"), 10)
    assert parse_request("do=start&images=-5") == MeasurementRequest("start", (), 0)
    assert parse_request("&".join(f"metric=a{i}" for i in range(500))) == MeasurementRequest("", (), 0)
    every = "&".join(f"metric={name}" for name in list_metrics())
    assert parse_request(every).names == tuple(list_metrics())


def test_curves_become_shapes():
    curve = Curve("epsilon", (0.01, 0.1, 1.0), (0.0, 5.0, 10.0), 0.1, {"chance": (5.0, math.nan, 5.0)})
    plot = plot_of(curve)
    assert plot.lines[0].points == "0.00,100.00 50.00,50.00 100.00,0.00"
    assert plot.lines[1].points == "0.00,50.00 100.00,50.00"
    assert plot.chosen == pytest.approx(50)
    assert (plot.left, plot.right, plot.low, plot.high) == (0.01, 1.0, 0.0, 10.0)


def test_values_become_a_histogram():
    score = Score(0.5, None, None, 4, "prototypes", per_prototype=(0.0, 0.0, None, 1.0, 0.5))
    spread = spread_of(score)
    assert (spread.count, spread.low, spread.high) == (4, 0, 1)
    assert (spread.heights[0], spread.heights[-1], sum(spread.heights)) == (1, 0.5, 2)
    assert spread_of(dataclasses.replace(score, per_prototype=None)) is None
    assert spread_of(dataclasses.replace(score, per_prototype=(2.0, 2.0))).heights[0] == 1


def test_hostile_names_are_text(measured):
    hostile = '"><img src=x onerror=alert(1)><script>'
    shown = report(measured, CHOICE, "b-cbc", {"b-cbc": hostile})
    question, group = next(iter(shown.groups.items()))
    result = dataclasses.replace(group[0].result, title=hostile, help=hostile, unit=hostile, name=hostile)
    shown = dataclasses.replace(
        shown, findings=(hostile,), groups={hostile: (dataclasses.replace(group[0], result=result),)}
    )
    pages = [views.report(shown, hostile, hostile), views.query_form([(hostile, hostile)], hostile)]
    assert question
    for page in pages:
        assert "<script" not in page
        assert "<img src=x" not in page
