"""What every registered metric has to keep; a new metric is tested by being registered."""

import json
import math
from types import SimpleNamespace
from typing import get_args

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from metrics.observed import observe, permuted_images, permuted_prototypes
from tiny_runs import tiny_config, tiny_model

from protoexplain import registry
from protoexplain.errors import UserError
from protoexplain.metrics.base import MetricResult, Need
from protoexplain.metrics.observe.needs import missing_needs
from protoexplain.metrics.observe.observations import NO_IMAGES
from protoexplain.metrics.observe.plan import plan_passes
from protoexplain.metrics.registry import METRICS, get_metric, list_metrics
from protoexplain.metrics.runner import measurable
from protoexplain.metrics.scores import accuracy
from protoexplain.metrics.settings import MeasureSettings
from protoexplain.progress import Silent

LABELS = (0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3)
FIXED = {"random peak", "shuffled activations", "random pixel order"}
"""Baselines of random numbers, which another order draws anew."""


@pytest.fixture(params=list_metrics())
def name(request):
    return request.param


def measured(name, observed):
    metric = get_metric(name)
    return metric.measure(name, observed, metric.settings())


def units(score):
    return score.per_prototype if score.per_prototype is not None else score.per_image


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_scores_lie_in_their_range(name, shared, seed):
    metric, score = get_metric(name), measured(name, observe(LABELS, shared, seed)).score
    values = [
        score.value,
        *score.baselines.values(),
        *(y for c in score.curves for y in (*c.y, *sum(c.baselines.values(), ()))),
    ]
    assert all(metric.low - 1e-9 <= value <= metric.high + 1e-9 for value in values)
    assert (score.low is None) == (score.high is None)
    if score.low is not None:
        assert metric.low - 1e-9 <= score.low <= score.high <= metric.high + 1e-9
    assert score.n_used > 0


@pytest.mark.parametrize("shared", [False, True])
def test_value_is_the_mean_of_its_units(name, shared):
    observed = observe(LABELS, shared)
    score = measured(name, observed).score
    if units(score) is None:
        return
    known = [value for value in units(score) if value is not None]
    assert score.value == pytest.approx(sum(known) / len(known), abs=1e-6)
    assert score.n_used == len(known)
    expected = observed.description.num_prototypes if score.over == "prototypes" else len(LABELS)
    assert len(units(score)) == expected
    assert expected - len(known) == sum(score.excluded.values())


@pytest.mark.parametrize("shared", [False, True])
@given(seed=st.integers(0, 1000))
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_of_images_changes_nothing(name, shared, seed):
    observed = observe(LABELS, shared, seed)
    order = torch.randperm(len(LABELS), generator=torch.Generator().manual_seed(seed))
    one, two = measured(name, observed).score, measured(name, permuted_images(observed, order)).score
    same_numbers(one, two)
    if one.per_image is not None and len(one.per_image) == len(LABELS):
        assert two.per_image == pytest.approx([one.per_image[index] for index in order.tolist()], abs=1e-9)
    if one.per_prototype is not None:
        assert two.per_prototype == pytest.approx(one.per_prototype, abs=1e-9)


@pytest.mark.parametrize("shared", [False, True])
@given(seed=st.integers(0, 1000))
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_of_prototypes_changes_nothing(name, shared, seed):
    observed = observe(LABELS, shared, seed)
    order = torch.randperm(observed.description.num_prototypes, generator=torch.Generator().manual_seed(seed))
    one, two = measured(name, observed).score, measured(name, permuted_prototypes(observed, order)).score
    same_numbers(one, two)
    if one.per_prototype is not None:
        assert two.per_prototype == pytest.approx([one.per_prototype[index] for index in order.tolist()], abs=1e-9)


def same_numbers(one, two):
    numbers = [(score.value, score.low, score.high) for score in (one, two)]
    assert numbers[0] == pytest.approx(numbers[1], abs=1e-6, nan_ok=True)
    assert one.excluded == two.excluded
    assert one.n_used == two.n_used
    for baseline in one.baselines.keys() - FIXED:
        assert two.baselines[baseline] == pytest.approx(one.baselines[baseline], abs=1e-6, nan_ok=True)


def test_class_without_images_is_left_out_and_counted(name):
    """The score is that of the other classes' prototypes; those of the empty class are counted."""
    observed = observe([label for label in LABELS if label != 1])
    score = measured(name, observed).score
    if "peaks" not in get_metric(name).passes:
        assert NO_IMAGES not in score.excluded, "what looks at all images leaves no prototype out"
        return
    empty = (observed.description.ownership.labels == 1).tolist()
    assert score.excluded[NO_IMAGES] == sum(empty) == 3
    assert [value is None for value, gone in zip(score.per_prototype, empty, strict=True) if gone] == [True] * 3
    assert math.isfinite(score.value)


def test_result_is_json_and_comes_back(name):
    result = measured(name, observe(LABELS))
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    for key in (
        "value",
        "low",
        "high",
        "higher_is_better",
        "unit",
        "per_prototype",
        "n_used",
        "excluded",
        "settings",
        "baselines",
    ):
        assert key in content
    assert content["settings"]["images"] == "made up"
    back = MetricResult.from_dict(name, content)
    assert back.to_dict() == result.to_dict()


def test_nothing_measured_is_nan_and_null(name):
    """Without any test image of the prototypes' classes or any usable image there is no number."""
    observed = observe([0], classes=4)
    result = measured(name, observed)
    json.dumps(result.to_dict(), allow_nan=False)
    assert result.score.low is None or math.isfinite(result.score.low)


def test_curves_pass_through_the_score(name):
    score = measured(name, observe(LABELS)).score
    for curve in score.curves:
        assert list(curve.x) == sorted(set(curve.x))
        assert len(curve.x) == len(curve.y)
        assert all(len(line) == len(curve.x) for line in curve.baselines.values())
        if curve.chosen is not None:
            place = curve.x.index(curve.chosen)
            assert curve.y[place] == pytest.approx(score.value, abs=1e-6)
            for baseline, line in curve.baselines.items():
                assert line[place] == pytest.approx(score.baselines[baseline], abs=1e-6)


def test_metric_says_what_it_means(name):
    metric = get_metric(name)
    assert metric.help.rstrip().endswith(".")
    assert 40 < len(metric.help) < 300
    assert metric.higher_is_better is None or any(
        word in metric.help for word in ("igh is good", "ow is good", "low is good")
    )
    assert [get_metric(other).title for other in list_metrics()].count(metric.title) == 1
    assert all(
        field.description is None and field.default is not None for field in metric.settings.model_fields.values()
    )
    assert plan_passes(metric.passes, MeasureSettings())
    assert metric.training <= metric.passes, "what is seen of training images is compared with test images"


def test_missing_annotations_are_told(name):
    metric = get_metric(name)
    lacks = {need: (f"something called {need}", "get it") for need in get_args(Need)}
    if not metric.needs:
        assert measurable([name], lacks, True, Silent()) == [name]
        return
    with pytest.raises(UserError) as caught:
        measurable([name], lacks, True, Silent())
    assert caught.value.what == f"{name} needs something called {min(metric.needs)}"
    assert caught.value.fix == "get it"
    told = []
    assert measurable([name], lacks, False, SimpleNamespace(line=told.append)) == []
    assert len(told) == 1


def test_metric_of_another_package_joins_by_its_entry_point(monkeypatch):
    point = SimpleNamespace(name="guest", load=lambda: accuracy.METRIC)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == METRICS.group else [])
    assert "guest" in list_metrics()
    assert get_metric("guest") is accuracy.METRIC
    with pytest.raises(UserError, match="unknown metric 'guset'") as caught:
        get_metric("guset")
    assert "did you mean 'guest'" in caught.value.fix


def test_built_in_metric_wins_over_an_installed_one_of_its_name(monkeypatch):
    points = [SimpleNamespace(name=name, load=lambda: pytest.fail("not this one")) for name in ("accuracy", "guest")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == METRICS.group else [])
    assert get_metric("accuracy") is accuracy.METRIC
    assert list_metrics().count("accuracy") == 1
    assert list_metrics()[-1] == "guest"


def test_needs_of_a_bare_data_set_are_explained():
    images = SimpleNamespace(
        name="My pictures",
        has_parts=False,
        has_regions=False,
        has_training_regions=False,
        crop="full",
        interventions=None,
        training=(),
    )
    config = SimpleNamespace(model=tiny_config("protopnet").model)
    checkpoint = SimpleNamespace(prototypes=(), before_projection=dict, config=config)
    found = missing_needs(checkpoint, images, None)
    assert set(found) == {
        "parts",
        "regions",
        "training_regions",
        "projection",
        "foreign",
        "interventions",
        "training_images",
        "certificate",
    }
    assert "My pictures has none" in found["parts"][0]
    assert "augmentation_consistency" in found["parts"][1]
    assert "bounding boxes" in found["regions"][1]
    images.crop = "box"
    assert "cut to their boxes" in missing_needs(checkpoint, images, None)["regions"][0]
    assert "cut to their boxes" in missing_needs(checkpoint, images, None)["training_regions"][0]


def test_a_tiny_model_of_every_family_is_described():
    """Shared prototypes are given to the classes that rely on them; all others to their class."""
    from protoexplain.metrics.observe.model_description import describe_model
    from protoexplain.models.registry import family_names

    for family in family_names():
        model = tiny_model(tiny_config(family))
        one = describe_model(model, ("a", "b", "c", "d"), 64, 3)
        assert one.presence_weights.shape == one.class_weights.shape == (4, model.num_prototypes)
        for label, row in enumerate(one.assigned):
            chosen = row[row >= 0]
            assert chosen.tolist() == sorted(chosen.tolist())
            ownership = model.ownership
            own = (ownership.of_class(label) & ~ownership.shared_by_all).nonzero().flatten()
            common = ownership.shared_by_all.nonzero().flatten()
            largest = one.class_weights[label, common].topk(min(3, len(common)))
            assert chosen.tolist() == sorted([*own.tolist(), *common[largest.indices[largest.values > 0]].tolist()])
        weights = one.heat_weights()
        torch.testing.assert_close(weights.sum(1), torch.ones(4))
        assert bool((weights[one.assigned < 0] == 0).all())
