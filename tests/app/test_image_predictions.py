"""What a model says about the test pictures: asked once, kept, and told while it is under way."""

from __future__ import annotations

import dataclasses
import time

import pytest

from protoexplain_app.dataset_jobs import DatasetJobs
from protoexplain_app.examples import Examples
from protoexplain_app.image_predictions import PredictTestImages
from protoexplain_app.jobs import JobQueue, JobState
from protoexplain_app.library import Choice
from protoexplain_app.panel.offered_images import ALL, UNSURE, WRONG, Query, offered_images, parse_query
from protoexplain_app.tabs.explain.actions import explain_image

MODEL = Choice("a-protopnet")


@pytest.fixture
def explainer(store):
    return store.explainer("a-protopnet")


def finished(image_predictions, explainer):
    """The predictions when they are complete."""
    until = time.monotonic() + 60
    while not (predictions := image_predictions.request(explainer)).finished:
        assert not predictions.error
        assert time.monotonic() < until
        time.sleep(0.02)
    return predictions


def test_each_guess_is_what_an_explanation_says(image_predictions, explainer, examples):
    predictions = finished(image_predictions, explainer)
    input_images = examples.of(explainer.checkpoint)
    assert predictions.result.keys() == {input_image.key for input_image in input_images}
    for input_image in input_images[:3]:
        case, guess = explain_image(explainer, input_image), predictions.result[input_image.key]
        assert guess.label == case.best.label
        assert guess.probability == pytest.approx(case.best.probability, abs=1e-4)
        assert guess.second == pytest.approx(case.predictions[1].probability, abs=1e-4)
        assert guess.right == case.right


def test_predictions_are_stored_for_these_weights_and_this_data(
    image_predictions, explainer, examples, birds, planted, tmp_path
):
    predictions = finished(image_predictions, explainer)
    until = time.monotonic() + 10
    while not list(image_predictions.folder.glob("*.json")) and time.monotonic() < until:
        time.sleep(0.02)
    again = DatasetJobs(PredictTestImages(), Examples(birds), JobQueue(), image_predictions.folder)
    assert again.known(explainer.checkpoint) == predictions
    retrained = dataclasses.replace(explainer.checkpoint, weights_sha256="0" * 64)
    assert again.known(retrained).total == 0
    others = DatasetJobs(PredictTestImages(), Examples(planted), JobQueue(), image_predictions.folder)
    assert others.known(explainer.checkpoint).total == 0


@pytest.mark.parametrize(
    "content", ["", "[]", '{"a": 1}', '{"a": {"label": 99, "probability": 1, "second": 0, "truth": 0}}']
)
def test_a_damaged_file_is_asked_for_again(image_predictions, explainer, content):
    image_predictions.folder.mkdir(parents=True)
    (image_predictions.file(explainer.checkpoint)).write_text(content)
    assert image_predictions.known(explainer.checkpoint).total == 0
    assert finished(image_predictions, explainer).total == 12


def test_work_in_the_background_waits_for_requests(image_predictions, explainer):
    with image_predictions.jobs.requests.answering():
        assert image_predictions.request(explainer).total == 12
        time.sleep(0.2)
        assert image_predictions.request(explainer).done == 0
    assert finished(image_predictions, explainer).done == 12


def test_a_model_of_other_classes_and_no_data_are_told(store, explainer, planted, tmp_path):
    checkpoint = dataclasses.replace(explainer.checkpoint, classes=("a", "b", "c", "d"))
    other = type(explainer).__new__(type(explainer))
    other.checkpoint, other.model = checkpoint, explainer.model
    of_others = DatasetJobs(PredictTestImages(), Examples(planted), JobQueue(), tmp_path).request(other)
    assert of_others.state == JobState.FAILED
    assert "names differ" in of_others.error.what
    without = DatasetJobs(PredictTestImages(), Examples(None), JobQueue(), tmp_path).request(explainer)
    assert "no data set" in without.error.what


def test_unreadable_pictures_are_left_out(image_predictions, explainer, examples, tmp_path, monkeypatch):
    view = examples.view(explainer.checkpoint)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    first = examples.of(explainer.checkpoint)[0].key
    records = tuple(dataclasses.replace(r, path=broken) if r.id == first else r for r in view.image_set.records)
    other = dataclasses.replace(view, image_set=dataclasses.replace(view.image_set, records=records))
    monkeypatch.setattr(examples, "view", lambda checkpoint: other)
    predictions = finished(image_predictions, explainer)
    assert first not in predictions.result
    assert len(predictions.result) == predictions.total - 1


def test_all_pictures_are_shown_without_asking(library):
    shown = offered_images(library, MODEL, Query(ALL))
    assert len(shown.pictures) == 12
    assert not shown.waiting
    assert shown.predictions.total == 0


def test_wrong_and_unsure_pictures_wait_for_the_predictions(library, explainer):
    with library.image_predictions.jobs.requests.answering():
        assert offered_images(library, MODEL, Query(WRONG)).waiting
    predictions = finished(library.image_predictions, explainer)
    wrong = offered_images(library, MODEL, Query(WRONG))
    assert {s.key for s, _ in wrong.pictures} == {key for key, guess in predictions.result.items() if not guess.right}
    surest = [guess.probability for _, guess in wrong.pictures]
    assert surest == sorted(surest, reverse=True)
    leads = [guess.lead for _, guess in offered_images(library, MODEL, Query(UNSURE)).pictures]
    assert len(leads) == 12
    assert leads == sorted(leads)


def test_pictures_of_one_class_and_not_all_at_once(library, explainer):
    name = explainer.checkpoint.classes[2]
    assert {input_image.truth for input_image, _ in offered_images(library, MODEL, Query(label=2)).pictures} == {name}
    few = offered_images(library, MODEL, Query(count=5))
    assert (len(few.pictures), few.more) == (5, 7)


def test_wishes_of_a_form_are_not_trusted():
    assert parse_query({"show": "wrong", "of": "2", "count": "72"}) == Query(WRONG, 2, 72)
    assert parse_query({"show": "secret", "of": "x", "count": "999999999"}) == Query(ALL, None, 2000)
