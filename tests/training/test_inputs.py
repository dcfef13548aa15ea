"""Batches of pictures and from caches are the same images in the same order."""

import pytest
import torch
from lightning_fabric import Fabric
from tiny_runs import open_run, tiny_config

from protoexplain.training.inputs import CACHE_EPOCH, CachedInputs, ImageInputs, cache

ALONE = Fabric(accelerator="cpu", devices=1)


@pytest.fixture
def dataset(planted, tmp_path):
    run = open_run(tiny_config("protopnet"), planted, tmp_path)
    return run.dataset(run.data.train, augmented=True)


def summary(pictures):
    """Something cheap that differs from picture to picture: [B,3,4,4]."""
    return torch.nn.functional.adaptive_avg_pool2d(pictures, 4)


def test_views_of_an_image_follow_each_other_in_blocks(dataset):
    order = [3, 0, 5]
    (batch,) = ImageInputs(dataset).epoch(2, order, 8)
    assert batch.indices.tolist() == order * 2
    assert batch.labels.tolist() == [dataset.records[i].label for i in order] * 2
    dataset.set_epoch(2)
    for place, index in enumerate(order):
        pictures, _, _ = dataset[index]
        assert torch.equal(batch.values[place], pictures[0])
        assert torch.equal(batch.values[place + 3], pictures[1])
    assert not torch.equal(batch.values[0], batch.values[3])


def test_later_start_leaves_out_the_first_batches(dataset):
    inputs = ImageInputs(dataset)
    whole, rest = list(inputs.epoch(1, range(10), 4)), list(inputs.epoch(1, range(10), 4, start=1))
    assert [len(batch.labels) for batch in whole] == [8, 8, 4]
    assert len(rest) == 2
    assert all(torch.equal(a.values, b.values) for a, b in zip(whole[1:], rest, strict=True))


@pytest.mark.parametrize(("kind", "tolerance"), [("features", 1e-3), ("activations", 0)])
def test_cache_holds_what_was_computed(dataset, tmp_path, kind, tolerance):
    compute = summary if kind == "features" else lambda pictures: summary(pictures).flatten(1)
    told = []
    made = ImageInputs(dataset)
    inputs = cache(ALONE, kind, compute, made, 2, 7, tmp_path, progress=lambda *numbers: told.append(numbers))
    assert len(inputs) == len(dataset)
    assert told[-1] == (40, 40)
    assert [shard.shape[:2] for shard in inputs.shards] == [(4, 20)]
    for epoch in range(5):
        dataset.set_epoch(CACHE_EPOCH + epoch % 4 // 2)
        order = [4, 19, 0, 7, 11]
        found = list(inputs.epoch(epoch, order, 3))
        assert [len(batch.labels) for batch in found] == [3, 2]
        values = torch.cat([batch.values for batch in found])
        expected = torch.stack([compute(dataset[i][0][epoch % 2][None])[0] for i in order])
        assert values.dtype == torch.float32
        torch.testing.assert_close(values, expected, rtol=tolerance, atol=tolerance)
        assert torch.cat([batch.indices for batch in found]).tolist() == order
        assert torch.cat([batch.labels for batch in found]).tolist() == [dataset.records[i].label for i in order]
    whole, (rest,) = list(inputs.epoch(0, order, 3)), inputs.epoch(0, order, 3, start=1)
    assert torch.equal(rest.values, whole[1].values)


@pytest.mark.parametrize(("kind", "size"), [("features", 2), ("activations", 4)])
def test_lies_in_a_file(dataset, tmp_path, kind, size):
    compute = summary if kind == "features" else lambda pictures: summary(pictures).flatten(1)
    cache(ALONE, kind, compute, ImageInputs(dataset), 1, 8, tmp_path)
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert file.stat().st_size == 2 * 20 * 3 * 4 * 4 * size


def test_shards_are_read_as_one():
    values, labels = torch.rand(2, 20, 5), torch.arange(20)
    whole = CachedInputs("activations", (values,), labels)
    parts = CachedInputs("activations", values.split((7, 1, 12), 1), labels)
    order = [19, 6, 7, 8, 0, 7]
    for one, other in zip(whole.epoch(1, order, 4), parts.epoch(1, order, 4), strict=True):
        assert torch.equal(one.values, other.values)
        assert torch.equal(one.labels, other.labels)
