"""FunnyBirds as published, and small sets that list some of its scenes."""

import json
import shutil

import numpy as np
import pytest

from protoexplain.data.funnybirds import FunnyBirdsInterventions
from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.interventions import Removal, masks_in_input
from protoexplain.data.read import read_image_set
from protoexplain.errors import UserError
from protoexplain.io.images import load_image


def records_of(root):
    return read_image_set(root).split("test")


def test_published_layout(funny_birds):
    found = read_image_set(funny_birds)
    assert found.classes == ("FunnyBird 00", "FunnyBird 01")
    assert [record.id for record in records_of(funny_birds)] == ["test/0/000000.png", "test/1/000001.png"]
    assert found.counts("train") == [2, 2]
    assert {record.box for record in found.records} == {None}, "whole images, as published"


def test_set_without_training_images_knows_boxes(funny_birds):
    (funny_birds / "dataset_train.json").unlink()
    records = read_image_set(funny_birds).records
    assert [record.box for record in records] == [Box(10, 5, 30, 20)] * 2, "the bird with its body, not the object"


def test_small_set_lists_its_scenes(funny_birds):
    shutil.rmtree(funny_birds / "train")
    for name in ("dataset_train.json", "dataset_test.json"):
        (funny_birds / name).unlink()
    line = {"image_idx": 1, "parameters": {"class_idx": 1, "bg_objects": "4,"}}
    (funny_birds / "scenes.jsonl").write_text(json.dumps(line) + "\n")
    assert [record.id for record in read_image_set(funny_birds).records] == ["test/1/000001.png"]


def test_images_without_things(funny_birds):
    source, record = FunnyBirdsInterventions(funny_birds), records_of(funny_birds)[1]
    folder = funny_birds / "test_interventions/1/000001"
    for removal, file in (
        (Removal(), "body_beak_eye_foot_tail_wing.png"),
        (Removal(0b00010), "body_beak_foot_tail_wing.png"),
        (Removal(item=0), "background_interventions/0.png"),
    ):
        assert np.array_equal(source.image(record, removal), load_image(folder / file).rgb)
    assert source.image(record, Removal(0b11)) is None
    assert source.most_objects == source.objects(record) == 1


def test_masks_follow_the_crop(funny_birds):
    source, record = FunnyBirdsInterventions(funny_birds), records_of(funny_birds)[0]
    part_map = source.part_map(record)
    assert part_map.items == (0, 1, 1, 2, 2, 3, 4, 4, 5)
    whole = masks_in_input(part_map, Geometry(Box(0, 0, 40, 30), 120))
    assert whole.plain.sum((1, 2)).tolist() == [12 * 12, 12 * 12, 12 * 12, 12 * 12, 0, 0, 0, 0, 12 * 12]
    assert whole.dilated[0].sum() == 8 * 7 * 12
    cut = masks_in_input(part_map, Geometry(Box(12, 10, 22, 20), 100))
    assert np.array_equal(np.argwhere(cut.plain[0]).max(0), [39, 29])
    assert cut.dilated[0][:60, :50].all()


def test_missing_pictures_are_counted(funny_birds):
    (funny_birds / "test/0/000000.png").unlink()
    assert "images listed but not found, left out: 1 (test/0/000000)" in read_image_set(funny_birds).problems


@pytest.mark.parametrize("name", ["classes.json", "parts.json", "dataset_test.json"])
@pytest.mark.parametrize("content", ["{", "[{}]"])
def test_damaged_tables_are_named(funny_birds, name, content):
    (funny_birds / name).write_text(content)
    with pytest.raises(UserError) as caught:
        FunnyBirdsInterventions(funny_birds)
    assert "again from the original" in caught.value.fix


def test_missing_part_map_is_named(funny_birds):
    record = records_of(funny_birds)[0]
    (funny_birds / "test_part_map/0/000000.png").unlink()
    with pytest.raises(UserError, match="the part map of an image is missing"):
        FunnyBirdsInterventions(funny_birds).part_map(record)


def test_one_scene_that_cannot_be_used_is_left_out_and_named(funny_birds):
    path = funny_birds / "dataset_test.json"
    scenes = json.loads(path.read_text())
    path.write_text(json.dumps([*scenes, {"class_idx": "no"}]))
    found = read_image_set(funny_birds)
    assert len(found.split("test")) == 2
    assert found.problems[0].startswith("scenes that cannot be used, left out: 1 (entry 2 of test: ")
