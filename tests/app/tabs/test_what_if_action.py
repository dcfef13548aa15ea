"""What if the picture were otherwise: queries that are not trusted, changes that add up, one forward pass for each."""

from __future__ import annotations

import base64
import dataclasses
import gc
import math

import numpy as np
import pytest

from protoexplain.errors import UserError
from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS
from protoexplain_app.input_image import run_model
from protoexplain_app.links import encode, parse
from protoexplain_app.tabs.what_if import view as views
from protoexplain_app.tabs.what_if.actions import (
    CELLS,
    ONLY,
    SLIDERS,
    Query,
    cells,
    cropped_results,
    parse_query,
    what_if_view,
)


@pytest.fixture(params=["a-protopnet", "b-cbc"])
def explainer(request, store):
    return store.explainer(request.param)


@pytest.fixture
def input_image(examples, explainer):
    return examples.of(explainer.checkpoint)[0]


def painted(rows=slice(0, 16)):
    """The text of an area that covers some rows of the grid."""
    grid = np.zeros((CELLS, CELLS), bool)
    grid[rows] = True
    return base64.urlsafe_b64encode(np.packbits(grid).tobytes()).decode().rstrip("=")


def pages(shown, query, model="a-protopnet"):
    return [
        views.original(shown, query),
        views.controls(query),
        views.changed(shown),
        views.answer(shown, query),
        views.prototypes(shown, model),
    ]


def test_there_is_a_slider_for_every_characteristic():
    assert sorted(slider.name for slider in SLIDERS) == sorted(MODIFICATIONS)


def test_a_changed_picture_moves_the_answer_and_all_adds_up(explainer, input_image):
    shown = what_if_view(explainer, cropped_results(), input_image, Query({"hue": 0.4, "brightness": 0.5}))
    scores = run_model(explainer, input_image).forward_pass.scores
    found = shown.found
    assert shown.changed
    assert found.named.before.label == int(scores.argmax())
    assert found.named.before.score == pytest.approx(float(scores.max()), abs=1e-5)
    total = sum(moved.numbers.change for moved in (*shown.losses, *shown.gains)) + shown.rest
    assert total == pytest.approx(found.change, abs=1e-5)
    assert shown.losses or shown.gains
    assert max(moved.share for moved in (*shown.losses, *shown.gains)) == 1
    assert all(moved.numbers.change < 0 for moved in shown.losses)
    assert all(moved.before.region and moved.after.region for moved in shown.losses)
    assert shown.after.source != shown.before.source


def test_nothing_changed_is_no_work_and_no_change(explainer, input_image, monkeypatch):
    results = cropped_results()
    results.of(explainer, input_image)
    monkeypatch.setattr(explainer, "edited", None)
    shown = what_if_view(explainer, results, input_image, Query())
    assert not shown.changed
    assert (shown.losses, shown.gains, shown.found.change) == ((), (), 0)
    assert shown.after.source == shown.before.source


def test_each_change_costs_one_forward_pass(explainer, input_image, monkeypatch):
    results, passes = cropped_results(), []
    results.of(explainer, input_image)
    handle = explainer.model.backbone.register_forward_hook(lambda *_: passes.append(1))
    what_if_view(explainer, results, input_image, Query({"hue": 0.2, "texture": 3}, painted(), "mean"))
    what_if_view(explainer, results, input_image, Query({"hue": 0.3}))
    handle.remove()
    assert len(passes) == 2


def test_what_was_seen_is_kept_within_bounds_and_goes_with_the_model(store, examples):
    explainer = store.explainer("a-protopnet")
    input_images, results = examples.of(explainer.checkpoint), cropped_results(2)
    first = results.of(explainer, input_images[0])
    results.of(explainer, input_images[1])
    assert results.of(explainer, input_images[0]) is first
    results.of(explainer, input_images[2])
    assert results.of(explainer, input_images[0]) is first
    assert len(results._results[explainer]) == 2
    store._loaded.clear()
    del explainer
    gc.collect()
    assert len(results._results) == 0


@pytest.mark.parametrize("use", ["grey", "mean", "blur", ONLY])
def test_a_painted_part_is_blanked_or_alone_changed(explainer, input_image, use):
    seen = explainer.cropped(run_model(explainer, input_image))
    edited = Query({"brightness": 0.5}, painted(), use).edit(seen.rgb)
    half = seen.rgb.shape[0] // 2 - 1
    lower = seen.rgb if use == ONLY else MODIFICATIONS["brightness"](seen.rgb, 0.5)
    assert np.array_equal(edited[half + 2 :], lower[half + 2 :])
    assert not np.array_equal(edited[:half], lower[:half])


def test_a_wish_is_told_and_read_back():
    query = Query({"hue": -0.25, "texture": 12.0}, painted(), "blur")
    words = dict(parse(encode(query.parameters)).parameters)
    assert parse_query(words) == query
    assert len(encode(query.parameters)) < 300
    assert parse_query(dict(parse(encode(Query().parameters)).parameters)) == Query()


@pytest.mark.parametrize(
    "words",
    [
        {"hue": "nan", "saturation": "inf", "texture": "much"},
        {"area": "!!!!", "use": "black"},
        {"area": "AAAA"},
        {"area": base64.urlsafe_b64encode(b"\0" * 128).decode().rstrip("=")},
        {"area": "é" * 171},
    ],
)
def test_what_is_said_wrongly_changes_nothing(words):
    assert parse_query(words) == Query()


def test_strengths_stay_within_their_range():
    read = parse_query({"hue": "9", "brightness": "-4"})
    assert read.strengths == {"hue": MODIFICATIONS["hue"].high, "brightness": 0.0}


def test_cells_are_read_row_by_row():
    grid = cells(painted(slice(3, 4)))
    assert np.flatnonzero(grid).tolist() == list(range(3 * CELLS, 4 * CELLS))


def test_an_unreadable_picture_is_told(explainer, input_image, tmp_path):
    poem = tmp_path / "poem.jpg"
    poem.write_text("Roses are red")
    with pytest.raises(UserError):
        what_if_view(explainer, cropped_results(), dataclasses.replace(input_image, path=poem), Query({"hue": 0.1}))
    gone = dataclasses.replace(input_image, path=tmp_path / "none.jpg")
    with pytest.raises(UserError):
        what_if_view(explainer, cropped_results(), gone, Query())


def test_the_pages_say_it_in_words_and_describe_every_picture(explainer, input_image):
    query = Query({"hue": 0.4}, painted(), "grey")
    shown = what_if_view(explainer, cropped_results(), input_image, query)
    told = pages(shown, query)
    assert "The model " in told[3]
    assert 'data-address="hue=0.4&amp;area=' in told[3]
    assert told[1].count('type="range"') == len(SLIDERS) + 1
    for slider in SLIDERS:
        assert f'id="help-what-if-{slider.name}"' in told[1]
    assert all('alt=""' not in page for page in told)
    probabilities = [entry.after.probability for entry in shown.found.classes]
    assert all(0 <= share <= 1 and math.isfinite(share) for share in probabilities)


def test_hostile_names_are_text(explainer, input_image):
    hostile = '"><img src=x onerror=alert(1)><script>'
    shown = what_if_view(explainer, cropped_results(), input_image, Query({"hue": 0.4}))
    named = dataclasses.replace(shown.found.named, before=dataclasses.replace(shown.found.named.before, name=hostile))
    found = dataclasses.replace(shown.found, named=named, classes=(named,))
    losses = tuple(dataclasses.replace(moved, owner=hostile) for moved in shown.losses)
    shown = dataclasses.replace(shown, name=hostile, found=found, losses=losses, notices=(hostile,))
    for page in pages(shown, Query({"hue": 0.4}, hostile, hostile), hostile):
        assert "<script" not in page
        assert "<img src=x" not in page
