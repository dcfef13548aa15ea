"""What a model says about the test pictures: asked once, kept, and told while it is under way."""

from __future__ import annotations

import dataclasses
import time

import pytest

from app.dataset_jobs import DatasetJobs
from app.examples import Examples
from app.jobs import JobQueue, JobState
from app.library import Choice
from app.panel.example_query import ALL, UNSURE, WRONG, Wish, read_wish, shelf
from app.surveys import EveryTestPicture
from app.tabs.explain.actions import explain_picture

MODEL = Choice("a-protopnet")


@pytest.fixture
def explainer(store):
    return store.explainer("a-protopnet")


def finished(surveys, explainer):
    """The survey when it is complete."""
    until = time.monotonic() + 60
    while not (survey := surveys.request(explainer)).finished:
        assert not survey.error
        assert time.monotonic() < until
        time.sleep(0.02)
    return survey


def test_each_guess_is_what_an_explanation_says(surveys, explainer, examples):
    survey = finished(surveys, explainer)
    subjects = examples.of(explainer.checkpoint)
    assert survey.result.keys() == {subject.key for subject in subjects}
    for subject in subjects[:3]:
        case, guess = explain_picture(explainer, subject), survey.result[subject.key]
        assert guess.label == case.best.label
        assert guess.probability == pytest.approx(case.best.probability, abs=1e-4)
        assert guess.second == pytest.approx(case.predictions[1].probability, abs=1e-4)
        assert guess.right == case.right


def test_a_survey_is_kept_for_these_weights_and_this_data(surveys, explainer, examples, birds, planted, tmp_path):
    survey = finished(surveys, explainer)
    until = time.monotonic() + 10
    while not list(surveys.folder.glob("*.json")) and time.monotonic() < until:
        time.sleep(0.02)
    again = DatasetJobs(EveryTestPicture(), Examples(birds), JobQueue(), surveys.folder)
    assert again.known(explainer.checkpoint) == survey
    retrained = dataclasses.replace(explainer.checkpoint, weights_sha256="0" * 64)
    assert again.known(retrained).total == 0
    others = DatasetJobs(EveryTestPicture(), Examples(planted), JobQueue(), surveys.folder)
    assert others.known(explainer.checkpoint).total == 0


@pytest.mark.parametrize(
    "content", ["", "[]", '{"a": 1}', '{"a": {"label": 99, "probability": 1, "second": 0, "truth": 0}}']
)
def test_a_damaged_file_is_asked_for_again(surveys, explainer, content):
    surveys.folder.mkdir(parents=True)
    (surveys.file(explainer.checkpoint)).write_text(content)
    assert surveys.known(explainer.checkpoint).total == 0
    assert finished(surveys, explainer).total == 12


def test_work_in_the_background_waits_for_requests(surveys, explainer):
    with surveys.jobs.requests.answering():
        assert surveys.request(explainer).total == 12
        time.sleep(0.2)
        assert surveys.request(explainer).done == 0
    assert finished(surveys, explainer).done == 12


def test_a_model_of_other_classes_and_no_data_are_told(store, explainer, planted, tmp_path):
    checkpoint = dataclasses.replace(explainer.checkpoint, classes=("a", "b", "c", "d"))
    other = type(explainer).__new__(type(explainer))
    other.checkpoint, other.model = checkpoint, explainer.model
    of_others = DatasetJobs(EveryTestPicture(), Examples(planted), JobQueue(), tmp_path).request(other)
    assert of_others.state == JobState.FAILED
    assert "names differ" in of_others.error.what
    without = DatasetJobs(EveryTestPicture(), Examples(None), JobQueue(), tmp_path).request(explainer)
    assert "no data set" in without.error.what


def test_unreadable_pictures_are_left_out(surveys, explainer, examples, tmp_path, monkeypatch):
    view = examples.view(explainer.checkpoint)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    first = examples.of(explainer.checkpoint)[0].key
    records = tuple(dataclasses.replace(r, path=broken) if r.id == first else r for r in view.image_set.records)
    other = dataclasses.replace(view, image_set=dataclasses.replace(view.image_set, records=records))
    monkeypatch.setattr(examples, "view", lambda checkpoint: other)
    survey = finished(surveys, explainer)
    assert first not in survey.result
    assert len(survey.result) == survey.total - 1


def test_all_pictures_are_shown_without_asking(library):
    shown = shelf(library, MODEL, Wish(ALL))
    assert len(shown.pictures) == 12
    assert not shown.waiting
    assert shown.survey.total == 0


def test_wrong_and_unsure_pictures_wait_for_the_survey(library, explainer):
    with library.surveys.jobs.requests.answering():
        assert shelf(library, MODEL, Wish(WRONG)).waiting
    survey = finished(library.surveys, explainer)
    wrong = shelf(library, MODEL, Wish(WRONG))
    assert {s.key for s, _ in wrong.pictures} == {key for key, guess in survey.result.items() if not guess.right}
    surest = [guess.probability for _, guess in wrong.pictures]
    assert surest == sorted(surest, reverse=True)
    leads = [guess.lead for _, guess in shelf(library, MODEL, Wish(UNSURE)).pictures]
    assert len(leads) == 12
    assert leads == sorted(leads)


def test_pictures_of_one_class_and_not_all_at_once(library, explainer):
    name = explainer.checkpoint.classes[2]
    assert {subject.truth for subject, _ in shelf(library, MODEL, Wish(label=2)).pictures} == {name}
    few = shelf(library, MODEL, Wish(count=5))
    assert (len(few.pictures), few.more) == (5, 7)


def test_wishes_of_a_form_are_not_trusted():
    assert read_wish({"show": "wrong", "of": "2", "count": "72"}) == Wish(WRONG, 2, 72)
    assert read_wish({"show": "secret", "of": "x", "count": "999999999"}) == Wish(ALL, None, 2000)
