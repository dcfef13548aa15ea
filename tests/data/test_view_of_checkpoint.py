"""A folder is read as the checkpoint knows it: by the ids of its images, whatever the folder says today."""

import shutil
from dataclasses import replace

import pytest
from metrics.measured_checkpoints import keep_checkpoint
from PIL import Image
from unsplit import SEED, add_pictures, as_of_older_program, class_folders, ids, seeded_checkpoint

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.folders import shipped_checkpoints
from protoexplain.config import DataConfig
from protoexplain.data.dataset_view import PARTS, matching_view, view_of, view_of_run
from protoexplain.errors import UserError
from protoexplain.training.verify import verify


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return class_folders(tmp_path_factory.mktemp("data") / "flowers")


@pytest.fixture(scope="module")
def checkpoint(folder, tmp_path_factory):
    return seeded_checkpoint(folder, tmp_path_factory.mktemp("models") / "seeded")


@pytest.fixture(scope="module")
def old(checkpoint, tmp_path_factory):
    return as_of_older_program(checkpoint, tmp_path_factory.mktemp("older") / "old")


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / folder.name)


def parts(view):
    return {part: {record.id for record in view.listed(part)} for part in PARTS}


def listed_by(checkpoint):
    return {part: set(getattr(checkpoint.split_ids(), part)) for part in PARTS}


def test_the_split_is_that_of_the_data_whatever_seeds_the_run(folder):
    by_default = view_of_run(DataConfig(), folder)
    other = view_of_run(DataConfig(split_seed=SEED), folder)
    assert len(ids(by_default.test)) == 8
    assert parts(other) != parts(by_default)
    assert parts(other)["validation"].isdisjoint(parts(other)["test"])


def test_parts_are_those_that_the_checkpoint_lists(checkpoint, folder):
    view = view_of(checkpoint, folder)
    assert parts(view) == listed_by(checkpoint)
    assert parts(view) != parts(view_of_run(DataConfig(validation=0.2), folder))
    assert {part: ids(getattr(view, part)) for part in PARTS} == parts(view)
    assert {record.id for record in view.image_set.split("test")} == parts(view)["test"]
    assert view.as_trained
    assert (view.unseen, view.notices, view.problems, view.foreign) == ((), (), (), False)
    assert verify(checkpoint, view).passed


def test_alpha_channels_mask_as_they_did_in_training(checkpoint, copy):
    first = next(iter(listed_by(checkpoint)["test"]))
    with Image.open(copy / first) as picture:
        picture.convert("RGBA").save(copy / first)
    assert not any(record.mask for record in view_of(checkpoint, copy).test)
    settings = checkpoint.config
    masked = settings.model_copy(update={"data": settings.data.model_copy(update={"alpha_masks": True})})
    same = replace(checkpoint, config=masked)
    assert {record.id for record in view_of(same, copy).test if record.mask} == {first}


def test_images_that_came_later_are_in_no_part(checkpoint, copy):
    add_pictures(copy, "rose", range(10, 30))
    view = view_of(checkpoint, copy)
    assert parts(view) == listed_by(checkpoint)
    assert ids(view.unseen) == {f"rose/{number}.png" for number in range(10, 30)}
    assert view.as_trained
    assert view.find(copy / "rose" / "12.png") in view.unseen
    (notice,) = view.notices
    assert notice.startswith("images that the model neither learned from nor was tested on, left out: 20 (rose/10.png")
    assert verify(checkpoint, view).passed


def test_images_that_are_gone_are_told(checkpoint, copy):
    lost, *left = sorted(listed_by(checkpoint)["test"])
    (copy / lost).unlink()
    view = view_of(checkpoint, copy)
    assert parts(view) == {**listed_by(checkpoint), "test": set(left)}
    assert not view.as_trained
    assert view.notices == (f"images of the model that are not here: 1 ({lost})",)
    assert set(view.split_ids.test) == {lost, *left}


def test_another_data_set_is_new_to_the_model(checkpoint, tmp_path):
    other = class_folders(tmp_path / "others", first=100)
    view = view_of(checkpoint, other)
    assert parts(view) == parts(view_of_run(checkpoint.config.data, other))
    assert view.foreign
    assert not view.as_trained
    assert len(view.notices) == 1
    assert "another data set" in view.notices[0]
    assert all(view.about(record.path) == () for record in view.image_set.records)
    assert set(view.split_ids.train) == listed_by(checkpoint)["train"] | parts(view)["train"]


def test_other_classes_are_refused_where_they_have_to_match(checkpoint, copy):
    add_pictures(copy, "violet", range(3))
    assert parts(view_of(checkpoint, copy)) == listed_by(checkpoint)
    with pytest.raises(UserError, match="5 classes, the model 4"):
        matching_view(checkpoint, copy)


def test_checkpoint_of_an_older_program_draws_its_split_again(checkpoint, old, folder):
    assert old.split_ids() is None
    assert old.config.data.split_seed == 0
    view = view_of(old, folder)
    assert parts(view) == listed_by(checkpoint)
    assert view.as_trained
    (notice,) = view.notices
    assert f"training.seed {SEED}, as they were then" in notice
    assert "but" not in notice


def test_older_checkpoint_on_a_folder_that_has_changed_says_so(old, copy):
    add_pictures(copy, "rose", range(10, 30))
    view = view_of(old, copy)
    assert not view.as_trained
    assert "the data set is not as it was then" in view.notices[0]


def test_shipped_checkpoints_still_load():
    for path in sorted(shipped_checkpoints().iterdir()):
        if path.is_dir():
            shipped = Checkpoint.load(path)
            assert shipped.model().num_prototypes == len(shipped.prototypes)


def test_whoever_looks_at_a_picture_is_told_if_the_model_learned_from_it(checkpoint, folder):
    view = view_of(checkpoint, folder)
    said = {record.id: view.about(record.path) for record in view.image_set.records}
    listed = listed_by(checkpoint)
    assert {id_ for id_, sentences in said.items() if not sentences} == listed["test"]
    assert {id_ for id_, text in said.items() if text == ("the model was trained on this picture",)} == listed["train"]
    assert view.about(folder / "of-somebody-else.png") == ()


def test_regions_are_boxes_where_the_model_looks_at_boxes(planted, tmp_path):
    boxed = view_of(keep_checkpoint("protopnet", planted, tmp_path / "boxed"), planted)
    record = boxed.test[0]
    assert boxed.region(record.path) == record.box
    whole = view_of(keep_checkpoint("protopnet", planted, tmp_path / "whole", data={"crop": "full"}), planted)
    assert whole.region(record.path) is None
