"""What measurements come to: limits, baselines that prove nothing, and the sentence."""

from __future__ import annotations

import math

import pytest

from protoexplain.metrics.base import MetricResult, Score
from protoexplain.metrics.registry import get_metric, list_metrics
from protoexplain_app.tabs.metrics.lights import LIGHTS, Colour, Criterion, Grade, lights, verdict


def result(name, value, low=None, high=None, baselines=None):
    metric, score = get_metric(name), Score(value, low, high, 10, "images", baselines=baselines or {})
    return MetricResult(name, metric.title, metric.help, metric.unit, metric.higher_is_better, score, {})


def coloured(*results):
    return [light.colour for light in lights({one.name: one for one in results})]


def test_limits_are_of_metrics_that_exist_and_point_their_way():
    for question in LIGHTS:
        assert set(question.answers) == set(Colour)
        for one in question.criteria:
            assert one.metric in list_metrics()
            assert get_metric(one.metric).higher_is_better is (one.good > one.bad)


@pytest.mark.parametrize(
    ("value", "low", "high", "grade"),
    [
        (85.0, None, None, Grade.GOOD),
        (85.0, 79.0, 90.0, Grade.MIDDLING),
        (60.0, 41.0, 75.0, Grade.MIDDLING),
        (60.0, 40.0, 75.0, Grade.BAD),
        (math.nan, None, None, None),
    ],
)
def test_a_metric_counts_by_the_bad_end_of_its_interval(value, low, high, grade):
    assert Criterion("consistency", 80, 40).grade(result("consistency", value, low, high)) is grade


def test_low_values_can_be_the_good_ones():
    few_rows = Criterion("compactness", 10, 30)
    grades = [few_rows.grade(result("compactness", value)) for value in (10.0, 18.0, 30.0)]
    assert grades == [Grade.GOOD, Grade.MIDDLING, Grade.BAD]


def test_what_a_baseline_reaches_too_proves_nothing():
    same = result("consistency", 100.0, 100.0, 100.0, {"centre peak": 100.0})
    assert Criterion("consistency", 80, 40).grade(same) is Grade.OPEN
    assert Criterion("consistency", 80, 40, baselines=False).grade(same) is Grade.GOOD
    assert coloured(same) == [Colour.GREY, Colour.YELLOW, Colour.GREY]
    pure = result("purity", 0.63, 0.58, 0.68, {"centre peak": 0.51})
    assert coloured(same, pure) == [Colour.GREY, Colour.GREEN, Colour.GREY]


def test_one_bad_metric_makes_a_light_red_and_is_told_first():
    many_rows, on_object = result("compactness", 55.0), result("off_object", 1.0)
    shown = lights({one.name: one for one in (on_object, many_rows)})
    assert shown[2].colour is Colour.RED
    assert [(one.name, grade) for one, grade in shown[2].reasons] == [
        ("compactness", Grade.BAD),
        ("off_object", Grade.GOOD),
    ]


def test_the_sentence_tells_what_is_good_first():
    shown = lights({one.name: one for one in (result("accuracy", 0.99), result("compactness", 55.0))})
    assert verdict(shown) == (
        "Its answers can be trusted, but whether prototypes look at one thing was not measured and explanations do not"
        " show what counts."
    )
    good = lights(
        {one.name: one for one in (result("accuracy", 0.99), result("purity", 0.9), result("compactness", 9.0))}
    )
    assert verdict(good) == (
        "Its answers can be trusted, each prototype looks at one thing and explanations show what counts."
    )
