"""The nearest pictures of prototypes: found once for all in the background, kept, and drawn with their parts."""

from __future__ import annotations

import dataclasses
import time

import pytest

from protoexplain.data.dataset_view import matching_view
from protoexplain.explanations.prototypes.prototype import explain_prototypes
from protoexplain_app.dataset_jobs import DatasetJobs
from protoexplain_app.examples import Examples
from protoexplain_app.jobs import JobQueue, JobState
from protoexplain_app.tabs.prototypes import view as views
from protoexplain_app.tabs.prototypes.nearest import NEAREST, SPLITS, NearestPatchSearch, Search, nearest_images


@pytest.fixture
def explainer(store):
    return store.explainer("a-protopnet")


def found(neighbours, explainer):
    """What is known when all pictures were looked at."""
    until = time.monotonic() + 60
    while not (search := neighbours.request(explainer)).finished:
        assert not search.error
        assert time.monotonic() < until
        time.sleep(0.02)
    return search


def test_they_are_those_of_the_explanations_of_prototypes(neighbours, explainer, birds, examples):
    assert neighbours.known(explainer.checkpoint) == Search()
    search = found(neighbours, explainer)
    images = matching_view(explainer.checkpoint, birds)
    splits = {name: images.dataset(getattr(images, name), explainer.checkpoint.config.data) for name in SPLITS}
    expected = explain_prototypes(
        explainer.model, explainer.checkpoint.prototypes, explainer.checkpoint.classes, splits, NEAREST
    )
    drawn = nearest_images(explainer, search, 5, examples.images_of(explainer.checkpoint))
    assert [split.title for split in drawn] == ["Nearest training pictures", "Nearest test pictures"]
    for split, name in zip(drawn, SPLITS, strict=True):
        near = expected[5].splits[name]
        assert [one.image for one in split.near] == [one.image for one in near.nearest]
        assert [one.similarity for one in split.near] == pytest.approx([one.similarity for one in near.nearest])
        assert (split.fires, split.foreign) == (near.fires, near.foreign)
        assert all(one.picture.region is not None for one in split.near)
        assert {one.explainable for one in split.near} == {name == "test"}
    assert drawn[0].near[0].image == explainer.checkpoint.prototypes[5].image_id


def test_they_are_kept_for_these_weights_and_this_data(neighbours, explainer, examples, birds):
    search = found(neighbours, explainer)
    until = time.monotonic() + 10
    while not list(neighbours.folder.glob("*.json")) and time.monotonic() < until:
        time.sleep(0.02)
    again = DatasetJobs(NearestPatchSearch(), Examples(birds), JobQueue(), neighbours.folder)
    assert again.known(explainer.checkpoint) == search
    retrained = dataclasses.replace(explainer.checkpoint, weights_sha256="0" * 64)
    assert again.known(retrained) == Search()


@pytest.mark.parametrize("content", ["", "[]", '[{"train": 3}]', '[{"train": {"nearest": [[1]]}}]'])
def test_a_damaged_file_is_asked_for_again(neighbours, explainer, content):
    neighbours.folder.mkdir(parents=True)
    neighbours.file(explainer.checkpoint).write_text(content)
    assert neighbours.known(explainer.checkpoint) == Search()


def test_without_the_data_set_the_reason_is_said(explainer, tmp_path):
    search = DatasetJobs(NearestPatchSearch(), Examples(None), JobQueue(), tmp_path).request(explainer)
    assert "not at hand" in search.error.what
    assert nearest_images(explainer, search, 0, None) == ()
    assert "not at hand" in views.nearest(search, (), "a-protopnet")


def test_a_picture_that_is_gone_is_told_of(neighbours, explainer, examples, tmp_path):
    search = found(neighbours, explainer)
    images = examples.images_of(explainer.checkpoint)
    gone = tuple(dataclasses.replace(record, path=tmp_path / "none.jpg") for record in images.records)
    drawn = nearest_images(explainer, search, 0, dataclasses.replace(images, records=gone))
    assert all(near.picture is None for split in drawn for near in split.near)
    assert "no picture" in views.nearest(search, drawn, "a-protopnet")


def test_pages_say_how_far_it_is(neighbours, explainer, examples):
    assert "Find the nearest pictures" in views.nearest(Search(), (), "m")
    assert "8 of 36" in views.nearest(Search(JobState.RUNNING, done=8, total=36), (), "m")
    hostile = '"><img src=x onerror=alert(1)>'
    drawn = nearest_images(explainer, found(neighbours, explainer), 0, examples.images_of(explainer.checkpoint))
    near = dataclasses.replace(drawn[1].near[0], name=hostile, image=hostile)
    page = views.nearest(Search(), (dataclasses.replace(drawn[1], near=(near,)),), hostile)
    assert "<img src=x" not in page
