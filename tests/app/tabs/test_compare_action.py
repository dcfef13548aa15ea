"""Comparisons: differences add up, and parts are aligned by prototype or by place."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoexplain_app.input_image import InputImage, run_model
from protoexplain_app.library import Choice
from protoexplain_app.tabs.compare import view as views
from protoexplain_app.tabs.compare.actions import (
    MODELS,
    PICTURES,
    Query,
    default_other_image,
    parse_query,
    two_models,
    two_pictures,
)
from protoexplain_app.tabs.compare.overlap import overlap, pair_boxes

BOXES = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 9), st.integers(1, 9)).map(
        lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
    ),
    max_size=4,
)


@pytest.fixture(params=["a-protopnet", "b-cbc"])
def explainer(request, store):
    return store.explainer(request.param)


@pytest.fixture
def input_images(examples, explainer):
    return examples.of(explainer.checkpoint)


def scores(explainer, input_image):
    return run_model(explainer, input_image).forward_pass.scores


def other_decision(explainer, input_images):
    """Another picture that the model decides otherwise for."""
    first = int(scores(explainer, input_images[0]).argmax())
    return next(s for s in input_images if int(scores(explainer, s).argmax()) != first)


def test_two_decisions_differ_by_what_prototypes_say_for_one_class_against_the_other(explainer, input_images):
    other = other_decision(explainer, input_images)
    shown = two_pictures(explainer, input_images[0], other, rows=4)
    assert not shown.agree
    left, right = scores(explainer, input_images[0]), scores(explainer, other)
    a, b = int(left.argmax()), int(right.argmax())
    assert shown.left.lead == pytest.approx(float(left[a] - left[b]), abs=1e-5)
    assert shown.right.lead == pytest.approx(float(right[a] - right[b]), abs=1e-5)
    assert shown.left.lead > 0 > shown.right.lead
    total = sum(row.difference for row in shown.rows) + shown.rest
    assert total == pytest.approx(shown.left.lead - shown.right.lead, abs=1e-5)
    sizes = [abs(row.difference) for row in shown.rows]
    assert sizes == sorted(sizes, reverse=True)
    assert shown.rows[0].share == 1


def test_one_decision_differs_by_its_score(explainer, input_images):
    best = int(scores(explainer, input_images[0]).argmax())
    same = next(s for s in input_images[1:] if int(scores(explainer, s).argmax()) == best)
    shown = two_pictures(explainer, input_images[0], same)
    assert shown.agree
    assert shown.left.lead == pytest.approx(shown.left.best.score, abs=1e-5)
    assert shown.right.lead == pytest.approx(shown.right.best.score, abs=1e-5)


def test_the_same_prototype_stands_on_both_sides(explainer, input_images):
    shown = two_pictures(explainer, input_images[0], input_images[1])
    for row in shown.rows:
        assert row.left.prototype == row.right.prototype
        assert row.left.evidence - row.right.evidence == pytest.approx(row.difference)
        assert row.left.place.region is not None
        assert row.left.place.alt
    assert [mark.text for mark in shown.left.picture.marks] == [str(row.number) for row in shown.rows]


def test_a_picture_compared_with_itself_differs_in_nothing(explainer, input_images):
    shown = two_pictures(explainer, input_images[0], input_images[0])
    assert shown.rows == ()
    assert shown.rest == pytest.approx(0, abs=1e-9)


def test_two_models_are_joined_by_place(store, examples):
    left, right = store.explainer("a-protopnet"), store.explainer("b-cbc")
    input_image = examples.of(left.checkpoint)[0]
    shown = two_models(left, right, ("one", "other"), input_image, rows=5)
    assert (shown.left.title, shown.right.title) == ("one", "other")
    assert shown.rest is None
    assert sum(row.left is not None for row in shown.rows) <= 5
    for row in shown.rows:
        assert row.left or row.right
        if row.left and row.right:
            one, two = (
                (b.left, b.top, b.left + b.width, b.top + b.height)
                for b in (row.left.place.region, row.right.place.region)
            )
            assert overlap(one, two) >= 0.2
    assert sum(row.left.evidence for row in shown.rows if row.left) <= 1 + 1e-6


def test_a_model_compared_with_itself_agrees_everywhere(explainer, input_images):
    shown = two_models(explainer, explainer, ("a", "b"), input_images[0])
    assert all(row.difference == pytest.approx(0, abs=1e-6) for row in shown.rows if row.left and row.right)


def test_the_suggested_partner_is_of_the_class_that_comes_second(explainer, input_images):
    forward_pass = run_model(explainer, input_images[0]).forward_pass
    second = forward_pass.class_names[forward_pass.ranked[1]]
    assert default_other_image(explainer, input_images[0], input_images).truth == second
    assert default_other_image(explainer, input_images[0], input_images[:1]) is None
    nobody = [dataclasses.replace(input_image, truth=None) for input_image in input_images]
    assert default_other_image(explainer, nobody[0], nobody).key == nobody[1].key


def test_an_upload_can_be_compared(explainer, input_images):
    upload = InputImage("", "mine.jpg", input_images[3].path, frame=(0, 0, 0.5, 0.5))
    assert two_pictures(explainer, upload, input_images[0]).left.picture.region.width == pytest.approx(50)


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [((0, 0, 2, 2), (0, 0, 2, 2), 1), ((0, 0, 2, 2), (1, 0, 3, 2), 1 / 3), ((0, 0, 1, 1), (2, 2, 3, 3), 0)],
)
def test_overlap_is_intersection_over_union(one, other, share):
    assert overlap(one, other) == pytest.approx(share)


@given(BOXES, BOXES)
def test_pairing_loses_nothing_and_joins_only_what_overlaps(left, right):
    pairs = pair_boxes(left, right)
    assert sorted(i for i, _ in pairs if i is not None) == list(range(len(left)))
    assert sorted(j for _, j in pairs if j is not None) == list(range(len(right)))
    assert all(overlap(left[i], right[j]) >= 0.25 for i, j in pairs if i is not None and j is not None)


def test_wishes_are_not_trusted():
    assert parse_query({"how": "models", "other": "b-cbc", "of": "1"}) == Query(MODELS, "b-cbc", 1)
    assert parse_query({"how": "../x", "of": "-1"}) == Query(PICTURES, "", None)


def test_hostile_names_are_text(explainer, input_images):
    hostile = '"><img src=x onerror=alert(1)><script>'
    shown = two_pictures(explainer, input_images[0], input_images[1])
    side = dataclasses.replace(shown.left, title=hostile, truth=hostile)
    row = dataclasses.replace(shown.rows[0], left=dataclasses.replace(shown.rows[0].left, owner=hostile))
    shown = dataclasses.replace(shown, left=side, rows=(row,))
    choice = Choice(hostile)
    input_image = dataclasses.replace(input_images[0], truth=hostile)
    pages = [
        views.comparison(shown, choice, Query(), hostile),
        views.comparison(shown, choice, Query(MODELS), hostile),
        views.query_form(Query(), [(hostile, hostile)], hostile, [hostile], [input_image], hostile),
        views.query_form(Query(MODELS), [(hostile, hostile)], hostile, [hostile]),
    ]
    for page in pages:
        assert "<script" not in page
        assert "<img src=x" not in page
