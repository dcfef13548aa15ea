"""What every data layout has to keep; a new one needs a tiny tree here."""

import shutil
from pathlib import Path

import pytest
import torch
from tiny_runs import tiny_config, tiny_model

from protoexplain.data.check import check
from protoexplain.data.dataset_view import view_of_run
from protoexplain.data.loading import ImageDataset, batches
from protoexplain.data.read import find_source, read_image_set, source_names

TREES = {
    "cub": "cub",
    "cars": "cars",
    "dogs": "dogs",
    "folder": "class_folders",
    "funnybirds": "funny_birds",
    "shards": "tar_shards",
    "table": "listed_pictures",
}
"""Layout -> the fixture that writes one."""


def test_every_layout_has_a_tree():
    assert set(TREES) == set(source_names())


@pytest.fixture(params=source_names())
def name(request):
    return request.param


@pytest.fixture
def root(name, request):
    tree = request.getfixturevalue(TREES[name])
    return tree if isinstance(tree, Path) else tree.root


def test_is_recognised_among_all_others(name, root):
    specific = [other for other in source_names() if not find_source(other).generic]
    assert [other for other in specific if find_source(other).detect(root)] == ([name] if name in specific else [])
    assert read_image_set(root).source == name == find_source(name).name


def test_records_are_sound(name, root):
    image_set = read_image_set(root, name)
    ids = [record.id for record in image_set.records]
    assert len(set(ids)) == len(ids) > 0
    assert all((root / record.id).resolve() == record.path.resolve() for record in image_set.records)
    assert {record.label for record in image_set.records} == set(range(len(image_set.classes)))
    assert len(set(image_set.classes)) == len(image_set.classes)
    assert {record.split for record in image_set.records} == {"train", "test"}
    assert all(count > 0 for count in image_set.counts("train"))
    for record in image_set.records:
        assert record.box is None or record.box.area > 0
        assert set(record.parts or image_set.part_names) == set(image_set.part_names)


def test_moved_and_read_again_is_the_same_set(name, root, tmp_path):
    first = read_image_set(root, name)
    moved = shutil.copytree(root, tmp_path / "elsewhere")
    second = read_image_set(moved, name)
    assert second.fingerprint() == first.fingerprint()
    assert [record.id for record in second.records] == [record.id for record in first.records]
    assert all(moved in record.path.parents for record in second.records)


def test_check_finds_nothing_wrong(name, root):
    report = check(read_image_set(root, name))
    assert report.unreadable == ()
    assert report.in_both_splits == ()
    assert report.boxes_lost == ()
    assert sum(report.train_counts) + sum(report.test_counts) == len(read_image_set(root, name).records)


@torch.no_grad()
def test_model_takes_its_pictures(name, root):
    config = tiny_config("protopnet")
    data = view_of_run(config.data, root)
    assert data.crop == ("full" if name in ("folder", "funnybirds", "shards") else "box")
    model = tiny_model(config, len(data.image_set.classes))
    records = [*data.train, *data.validation, *data.test]
    dataset = ImageDataset(records, data.crop, 64)
    (batch,) = batches(dataset, range(len(dataset)), len(dataset))
    assert batch.labels.tolist() == [record.label for record in records]
    assert torch.isfinite(model(batch.images[:, 0]).logits).all()
