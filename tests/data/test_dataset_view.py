"""Which images are held out, and which are used at all."""

import random
import shutil
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protoexplain.config import DataConfig
from protoexplain.data.dataset_view import parts_in_words, train_validation, view_of_run
from protoexplain.data.read import read_image_set
from protoexplain.data.records import ImageRecord, ImageSet
from protoexplain.errors import UserError


def image_set(tmp_path_like, counts):
    records = [
        ImageRecord(f"{label}/{i}.jpg", tmp_path_like, label, "train")
        for label, count in enumerate(counts)
        for i in range(count)
    ]
    return ImageSet("x", tmp_path_like, "folder", tuple(map(str, range(len(counts)))), tuple(records))


@settings(max_examples=50, deadline=None)
@given(
    counts=st.lists(st.integers(1, 20), min_size=1, max_size=5), fraction=st.floats(0, 0.99), seed=st.integers(0, 99)
)
def test_share_of_each_class_is_held_out_but_never_all(counts, fraction, seed):
    images = image_set(None, counts)
    train, held = train_validation(images, fraction, seed)
    assert {r.id for r in train} | {r.id for r in held} == {r.id for r in images.records}
    assert not {r.id for r in train} & {r.id for r in held}
    number = Counter(record.label for record in held)
    for label, count in enumerate(counts):
        assert number[label] == min(round(fraction * count), count - 1)


def test_split_depends_on_ids_and_seed_alone():
    images = image_set(None, [10, 10, 10])
    shuffled = replace(images, records=tuple(random.Random(1).sample(images.records, len(images.records))))
    chosen = {seed: {r.id for r in train_validation(images, 0.3, seed)[1]} for seed in (0, 1)}
    assert {r.id for r in train_validation(shuffled, 0.3, 0)[1]} == chosen[0]
    assert chosen[0] != chosen[1]


def test_more_images_of_one_class_leave_the_others_alone():
    few, more = image_set(None, [10, 10]), image_set(None, [10, 15])
    held = [{r.id for r in train_validation(images, 0.3, 0)[1] if r.label == 0} for images in (few, more)]
    assert held[0] == held[1]


class TestReading:
    def test_parts_are_disjoint_and_complete(self, planted):
        data = view_of_run(DataConfig(validation=0.3), planted)
        ids = [[record.id for record in part] for part in (data.train, data.validation, data.test)]
        assert [len(part) for part in ids] == [16, 8, 8]
        assert len(set().union(*ids)) == 32
        assert {record.split for record in (*data.train, *data.validation)} == {"train"}
        assert {record.split for record in data.test} == {"test"}

    @pytest.mark.parametrize(("asked", "decided"), [("auto", "box"), ("box", "box"), ("full", "full")])
    def test_crop_of_boxed_images(self, planted, asked, decided):
        assert view_of_run(DataConfig(crop=asked), planted).crop == decided

    def test_images_without_boxes_are_taken_whole(self, class_folders):
        data = view_of_run(DataConfig(), class_folders)
        assert data.crop == "full"
        boxed = view_of_run(DataConfig(crop="box"), class_folders)
        with pytest.raises(UserError, match="have no box"):
            boxed.dataset(boxed.train, DataConfig())

    def test_unreadable_files_are_left_out_of_every_part(self, planted, tmp_path):
        root = shutil.copytree(planted, tmp_path / "birds")
        broken = [read_image_set(root).split(split)[1] for split in ("train", "test")]
        for record in broken:
            record.path.write_bytes(b"nothing")
        data = view_of_run(DataConfig(validation=0.3), root)
        used = {record.id for record in (*data.train, *data.validation, *data.test)}
        assert len(used) == 30
        assert not used & {record.id for record in broken}
        assert sorted(str(record.path) for record in broken) == sorted(p.split(":")[0] for p in data.problems)
        assert data.image_set.fingerprint() == view_of_run(DataConfig(), planted).image_set.fingerprint()

    def test_no_training_image(self, planted, tmp_path):
        root = shutil.copytree(planted, tmp_path / "birds")
        for record in read_image_set(root).split("train"):
            record.path.write_bytes(b"nothing")
        with pytest.raises(UserError, match="no training image"):
            _ = view_of_run(DataConfig(), root).train


def test_parts_are_told_in_one_sentence(planted, class_folders):
    config = DataConfig(validation=0.3, split_seed=5)
    assert parts_in_words(view_of_run(config, planted), config) == (
        "32 images of 4 classes: 8 only test the model (as the data set says), 16 train it, and 8 choose the best epoch"
        " (30% of each class's others, by data.split_seed 5)"
    )
    config = DataConfig(validation=0)
    told = parts_in_words(view_of_run(config, class_folders), config)
    chosen = "a fifth of each class, by data.split_seed 0"
    assert told == f"17 images of 3 classes: 4 only test the model ({chosen}), 13 train it"
