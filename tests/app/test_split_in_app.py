"""A model whose split is its own: the app shows its test pictures as such, and knows its data set again."""

from __future__ import annotations

import time

import pytest
from unsplit import add_pictures, as_of_older_program, class_folders, seeded_checkpoint

from protoexplain.data.read import read_image_set
from protoexplain.editing.preview import TEST, TRAIN, open_preview
from protoexplain_app.examples import Examples
from protoexplain_app.library import Choice
from protoexplain_app.models import ModelStore
from protoexplain_app.panel import view as views
from protoexplain_app.panel.actions import facts
from protoexplain_app.panel.offered_images import UNSURE, WRONG, Query, offered_images
from protoexplain_app.tabs.quiz.actions import Query as QuizQuery
from protoexplain_app.tabs.quiz.actions import begin

MODEL = Choice("seeded")


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    return class_folders(tmp_path_factory.mktemp("data") / "flowers")


@pytest.fixture(scope="module")
def models(flowers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    as_of_older_program(seeded_checkpoint(flowers, folder / "seeded"), folder / "old")
    return folder


@pytest.fixture
def store(models):
    store = ModelStore(models)
    store.scan()
    return store


@pytest.fixture
def examples(flowers):
    return Examples(flowers)


@pytest.fixture
def checkpoint(library):
    return library.checkpoint(MODEL)


@pytest.fixture
def tested(checkpoint, flowers):
    """Ids of the test images; by default the folder gives others."""
    found = set(checkpoint.split_ids().test)
    assert found != {record.id for record in read_image_set(flowers).split("test")}
    return found


def complete(ask):
    until = time.monotonic() + 60
    while not (job := ask()).finished:
        assert not job.error
        assert time.monotonic() < until
        time.sleep(0.02)
    return job


def test_test_pictures_are_those_of_the_model(library, checkpoint, tested):
    assert {input_image.key for input_image in library.examples.of(checkpoint)} == tested


def test_quiz_asks_about_test_pictures(library, checkpoint, tested):
    input_images = library.examples.of(checkpoint)
    data = library.examples.fingerprint(checkpoint)
    assert data == checkpoint.data.fingerprint
    session = begin(checkpoint, "seeded", data, input_images, {}, QuizQuery(length=20), "abcd")
    assert set(session.queue) == tested


def test_wrong_and_unsure_lists_hold_test_pictures(library, checkpoint, tested):
    predictions = complete(lambda: library.image_predictions.request(library.explainer(MODEL)))
    assert predictions.result.keys() == tested
    wrong, unsure = (offered_images(library, MODEL, Query(show)).pictures for show in (WRONG, UNSURE))
    assert {input_image.key for input_image, _ in unsure} == tested
    assert {input_image.key for input_image, _ in wrong} <= tested


def test_nearest_test_pictures_are_test_pictures(library, checkpoint, tested):
    found = complete(lambda: library.neighbours.request(library.explainer(MODEL)))
    near = [one.image for entry in found.result for one in entry["test"].nearest]
    assert set(near) <= tested
    assert {one.image for entry in found.result for one in entry["train"].nearest}.isdisjoint(tested)


def test_edit_knows_the_data_set_again(library, checkpoint, tested, flowers):
    images = library.examples.images_of(checkpoint)
    assert {record.id for record in images.split("test")} == tested
    preview = open_preview(checkpoint, flowers)
    assert {record.id for record in preview.features[TEST].images} == tested
    assert {record.id for record in preview.features[TRAIN].images} == set(checkpoint.split_ids().train)


def test_data_set_that_has_grown_is_still_the_model_s(checkpoint, tested, tmp_path):
    grown = class_folders(tmp_path / "flowers")
    add_pictures(grown, "rose", range(10, 14))
    examples = Examples(grown)
    assert {input_image.key for input_image in examples.of(checkpoint)} == tested
    assert examples.images_of(checkpoint) is not None
    about = views.facts(facts(checkpoint, examples.view(checkpoint).notices))
    assert "neither learned from nor was tested on, left out: 4 (rose/10.png" in about


def test_older_model_gets_its_split_and_a_notice(library, tested):
    old = library.checkpoint(Choice("old"))
    assert {input_image.key for input_image in library.examples.of(old)} == tested
    assert library.examples.images_of(old) is not None
    about = views.facts(facts(old, library.examples.view(old).notices))
    assert "does not list its images" in about
    assert "Note on the data set" not in views.facts(facts(library.checkpoint(MODEL)))
