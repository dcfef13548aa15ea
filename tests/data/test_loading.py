import multiprocessing
import os
import pickle
from collections import Counter
from contextlib import closing
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from protoexplain.config import preset_names, resolve
from protoexplain.data import loading
from protoexplain.data.geometry import Box
from protoexplain.data.loading import ImageDataset, Loader, batches, geometry_of, readable
from protoexplain.data.orders import balanced_order, block, epoch_order, shard
from protoexplain.data.picture_store import PictureStore
from protoexplain.data.read import read_image_set
from protoexplain.errors import UserError
from protoexplain.io import images as images_module


@pytest.fixture
def records(cub):
    return read_image_set(cub.root).records


def state():
    return torch.get_rng_state(), np.random.get_state()[1].copy()


def collect(dataset, order, **options):
    found = list(batches(dataset, order, 3, **options))
    return (
        torch.cat([b.images for b in found]),
        torch.cat([b.labels for b in found]),
        torch.cat([b.indices for b in found]),
    )


def kept_bytes(dataset):
    return sum(dataset._store.get(place).nbytes for place, _, _ in dataset._cache.values())


class TestDataset:
    @pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
    def test_clean_picture_is_torchvisions(self, records, cache_bytes):
        dataset = ImageDataset(records, "box", 24, store=PictureStore(cache_bytes))
        cropped = Image.open(records[3].path).crop((10, 5, 30, 20))
        expected = v2.functional.pil_to_tensor(v2.Resize((24, 24))(cropped))
        for _ in range(2):
            images, label, index = dataset[3]
            assert images.dtype == torch.float32
            assert torch.equal(images[0], expected.float() / 255)
            assert (label, index) == (records[3].label, 3)

    def test_full_ignores_the_box(self, records):
        images, _, _ = ImageDataset(records, "full", 24)[0]
        expected = v2.functional.pil_to_tensor(v2.Resize((24, 24))(Image.open(records[0].path)))
        assert torch.equal(images[0], expected.float() / 255)

    def test_of_a_large_picture_the_same_region_is_seen(self, records, monkeypatch):
        path = records[0].path
        with Image.open(path) as image:
            wide = image.resize((image.width * 4, image.height * 4), Image.Resampling.NEAREST)
        wide.save(path, "PNG")
        record = replace(records[0], box=Box(*(4 * edge for edge in records[0].box.as_list())))
        read = loading.load_image(path).rgb.size // 3
        whole = ImageDataset([record], "box", 24).pixels(0).float()
        monkeypatch.setattr(images_module, "MOST_KEPT", read - 1)
        assert loading.load_image(path).rgb.size // 3 == read // 4
        assert (ImageDataset([record], "box", 24).pixels(0).float() - whole).abs().mean() < 5
        assert (ImageDataset([record], "full", 24).pixels(0).float() - whole).abs().mean() > 20

    def test_views(self, records):
        dataset = ImageDataset(records, "box", 24, "light_two_views")
        assert dataset.views == 2
        assert dataset[0][0].shape == (2, 3, 24, 24)

    def test_random_part_depends_on_seed_epoch_and_index_only(self, records):
        dataset = ImageDataset([records[0]] * 3, "box", 24, "light", seed=5)
        dataset.set_epoch(2)
        first = [dataset.pixels(i) for i in (0, 1, 2)]
        dataset.set_epoch(3)
        assert not torch.equal(dataset.pixels(0), first[0])
        dataset.set_epoch(2)
        assert all(torch.equal(dataset.pixels(i), first[i]) for i in (2, 1, 0))
        assert not torch.equal(first[0], first[1])
        assert not torch.equal(ImageDataset([records[0]], "box", 24, "light", seed=6).pixels(0), first[0])

    def test_cache_changes_nothing_and_keeps_its_limit(self, records):
        plain = ImageDataset(records, "box", 24, "light")
        small = ImageDataset(records, "box", 24, "light", store=PictureStore(2500))
        for _ in range(2):
            for i in range(len(records)):
                assert torch.equal(plain.pixels(i), small.pixels(i))
        assert len(plain._cache) == 0
        assert 0 < kept_bytes(small) <= 2500

    def test_cached_pictures_are_not_read_again(self, records, monkeypatch):
        dataset = ImageDataset(records, "box", 24, store=PictureStore(1 << 20))
        before = dataset.pixels(0)
        monkeypatch.setattr(loading, "load_image", lambda path: pytest.fail("was read again"))
        assert torch.equal(dataset.pixels(0), before)

    def test_nothing_is_opened_before_it_is_asked_for(self, records):
        missing = [replace(record, path=record.path / "none") for record in records]
        dataset = ImageDataset(missing, "box", 24)
        with pytest.raises(UserError, match="cannot be read"):
            dataset[0]

    def test_pickle_leaves_the_cache_behind(self, records):
        limit = PictureStore(5000)
        dataset = ImageDataset(records, "box", 24, "light", store=limit)
        expected = dataset.pixels(1)
        assert limit.left < limit.size
        copy = pickle.loads(pickle.dumps(dataset))  # noqa: S301
        assert copy._cache == {}
        assert torch.equal(copy.pixels(1), expected)
        assert torch.equal(copy.pixels(1), expected), "as it was kept"
        assert len(copy._cache) == 1, "another process has all of the limit"

    def test_one_limit_for_several_data_sets(self, records):
        limit = PictureStore(5000)
        datasets = [ImageDataset(records, "box", 24, name, store=limit) for name in ("none", "light")]
        for dataset in datasets:
            for i in range(len(records)):
                dataset.pixels(i)
        kept = sum(map(kept_bytes, datasets))
        assert kept == limit.size - limit.left
        assert 5000 - 24 * 24 * 3 * 2 < kept <= 5000
        one, other = pickle.loads(pickle.dumps(datasets))  # noqa: S301
        assert one._store is other._store

    def test_nothing_is_kept_unless_asked_for(self, records):
        dataset = ImageDataset(records, "box", 24)
        dataset.pixels(0)
        assert dataset._cache == {}


class TestErrors:
    def test_box_crop_needs_boxes(self, records):
        boxless = [records[0], replace(records[1], box=None)]
        with pytest.raises(UserError, match="1 of 2 images have no box"):
            ImageDataset(boxless, "box", 24)
        assert len(ImageDataset(boxless, "full", 24)) == 2

    def test_box_partly_outside_is_clipped(self, records):
        dataset = ImageDataset([replace(records[0], box=Box(30, 20, 60, 50))], "box", 24)
        cropped = Image.open(records[0].path).crop((30, 20, 40, 30))
        expected = v2.functional.pil_to_tensor(v2.Resize((24, 24))(cropped))
        assert torch.equal(dataset.pixels(0)[0], expected)

    @pytest.mark.parametrize("box", [Box(50, 0, 60, 10), Box(-9, 0, 0, 10), Box(10.2, 0, 10.9, 20)])
    def test_box_outside_names_the_file(self, records, box):
        record = replace(records[0], box=box)
        with pytest.raises(UserError, match="no pixel of the image of 40 x 30") as caught:
            geometry_of(record, (40, 30), "box", 24)
        assert caught.value.where == str(record.path)
        assert geometry_of(record, (40, 30), "full", 24).crop == Box(0, 0, 40, 30)

    def test_unknown_augmentation(self, records):
        with pytest.raises(UserError, match="did you mean 'light'"):
            ImageDataset(records, "box", 24, "lihgt")

    @pytest.mark.parametrize("workers", [0, 1])
    def test_unreadable_file_is_one_clear_error(self, records, workers):
        records[2].path.write_bytes(b"no picture")
        dataset = ImageDataset(records, "box", 24)
        with pytest.raises(UserError) as caught:
            list(batches(dataset, range(8), 4, workers=workers))
        assert str(records[2].path) in str(caught.value)
        assert "Traceback" not in str(caught.value)


class TestBatches:
    def test_shapes_and_order(self, records):
        order = epoch_order(8, 0, 0)
        found = list(batches(ImageDataset(records, "box", 24, "cbc"), order, 3))
        assert [batch.images.shape[0] for batch in found] == [3, 3, 2]
        assert found[0].images.shape == (3, 2, 3, 24, 24)
        assert found[0].images.dtype == torch.float32
        assert 0 <= found[0].images.min() <= found[0].images.max() <= 1
        assert torch.cat([batch.indices for batch in found]).tolist() == order
        assert torch.cat([batch.labels for batch in found]).tolist() == [records[i].label for i in order]

    @pytest.mark.parametrize("augmentation", ["light", "cbc"])
    def test_workers_change_nothing(self, records, augmentation):
        dataset = ImageDataset(records, "box", 24, augmentation, seed=3)
        dataset.set_epoch(4)
        order, before = epoch_order(8, 3, 4), state()
        alone, helped = collect(dataset, order), collect(dataset, order, workers=2)
        assert all(map(torch.equal, alone, helped))
        assert torch.equal(before[0], torch.get_rng_state())
        assert np.array_equal(before[1], np.random.get_state()[1])

    def test_order_does_not_change_pictures(self, records):
        dataset = ImageDataset(records, "box", 24, "light")
        forwards, backwards = collect(dataset, range(8)), collect(dataset, range(7, -1, -1))
        assert torch.equal(forwards[0], backwards[0].flip(0))

    def test_resuming_in_mid_epoch(self, records):
        dataset = ImageDataset(records, "box", 24, "light")
        order = epoch_order(8, 0, 1)
        whole = list(batches(dataset, order, 3))
        rest = list(batches(ImageDataset(records, "box", 24, "light"), order, 3, start_batch=1))
        assert len(rest) == 2
        assert all(torch.equal(a.images, b.images) for a, b in zip(whole[1:], rest, strict=True))
        assert list(batches(dataset, order, 3, start_batch=3)) == []

    def test_drop_last(self, records):
        dataset = ImageDataset(records, "box", 24)
        assert [len(b.labels) for b in batches(dataset, range(8), 3, drop_last=True)] == [3, 3]
        assert [len(b.labels) for b in batches(dataset, range(6), 3, drop_last=True)] == [3, 3]
        assert list(batches(dataset, [], 3)) == []


def passes(loader, datasets):
    """What three epochs of two data sets show, one of them from its second batch on."""
    found = []
    for epoch in range(3):
        for dataset in datasets:
            dataset.set_epoch(epoch)
            found += list(loader.batches(dataset, epoch_order(8, 0, epoch), 3, start_batch=epoch % 2))
    return found


class TestLoader:
    @pytest.fixture
    def datasets(self, records):
        return [ImageDataset(records, "box", 24, name, seed=7) for name in ("light_two_views", "none")]

    @pytest.mark.parametrize("workers", [1, 2])
    def test_workers_change_nothing(self, datasets, workers):
        expected, found = passes(Loader(datasets), datasets), passes(Loader(datasets, workers), datasets)
        assert len(found) == len(expected) == 2 * (3 + 2 + 3)
        for one, other in zip(expected, found, strict=True):
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.labels, other.labels)
            assert torch.equal(one.indices, other.indices)

    def test_workers_stay_and_go_with_the_loader(self, datasets):
        before = set(multiprocessing.active_children())
        loader = Loader(datasets, workers=2)
        assert set(multiprocessing.active_children()) == before, "none is needed yet"
        seen = []
        for epoch in range(3):
            datasets[0].set_epoch(epoch)
            assert len(list(loader.batches(datasets[0], range(8), 3))) == 3
            seen.append({process.pid for process in set(multiprocessing.active_children()) - before})
        assert seen[0] == seen[1] == seen[2]
        assert len(seen[0]) == 2
        loader.close()
        assert set(multiprocessing.active_children()) <= before

    @pytest.mark.parametrize("workers", [0, 1])
    def test_pass_that_was_left_early_does_not_disturb_the_next(self, datasets, workers):
        loader = Loader(datasets, workers)
        dataset = datasets[0]
        left = loader.batches(dataset, range(8), 1)
        next(left)
        left.close()
        dataset.set_epoch(1)
        found = list(loader.batches(dataset, [5, 2, 7], 2))
        assert [batch.indices.tolist() for batch in found] == [[5, 2], [7]]
        assert torch.equal(found[1].images[0], dataset[7][0])

    def test_error_of_a_pass_does_not_disturb_the_next(self, datasets, records):
        whole = records[2].path.read_bytes()
        with closing(Loader(datasets, workers=1)) as loader:
            records[2].path.write_bytes(b"no picture")
            with pytest.raises(UserError):
                list(loader.batches(datasets[1], range(8), 2))
            records[2].path.write_bytes(whole)
            assert len(list(loader.batches(datasets[1], range(8), 2))) == 4

    def test_one_pass_at_a_time(self, datasets):
        loader = Loader(datasets)
        first = loader.batches(datasets[0], range(8), 2)
        next(first)
        list(loader.batches(datasets[1], range(8), 2))
        with pytest.raises(RuntimeError, match="one pass at a time"):
            next(first)

    def test_batches_for_cuda_lie_in_page_locked_memory(self, datasets, monkeypatch):
        assert Loader(datasets, device=torch.device("cuda"))._reader.pin_memory
        assert not Loader(datasets)._reader.pin_memory
        (batch,) = Loader(datasets).batches(datasets[0], range(8), 8)
        assert batch.images.transpose(0, 1).is_contiguous(), "views in blocks can be pinned, and sent, without a copy"
        pinned = []
        monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor)
        again = batch.pin_memory()
        assert [id(each) for each in pinned] == [id(batch.images), id(batch.labels), id(batch.indices)]
        assert again.images is batch.images

    @pytest.mark.parametrize("preset", preset_names())
    def test_all_that_a_worker_gets_can_be_pickled(self, records, preset):
        data = resolve(preset).data
        dataset = ImageDataset(records, "box", 24, data.augmentation, store=PictureStore(1 << 20))
        dataset.set_epoch(3)
        loader = Loader([dataset])
        (expected,) = loader.batches(dataset, [4, 1], 2)
        reader, collate, (request,) = pickle.loads(  # noqa: S301
            pickle.dumps((loader._reader.dataset, loader._reader.collate_fn, loader._requests))
        )
        found = pickle.loads(pickle.dumps(collate(reader.__getitems__(request))))  # noqa: S301
        assert torch.equal(found.images, expected.images)

    @pytest.mark.slow
    def test_workers_that_are_started_afresh(self, records):
        """As from Python 3.14 on, and as on macOS and Windows: nothing is inherited, everything is sent."""
        datasets = [ImageDataset(records, "box", 24, name) for name in ("st_cropped", "protopnet")]
        usual = multiprocessing.get_start_method()
        expected = passes(Loader(datasets), datasets)
        multiprocessing.set_start_method("forkserver", force=True)
        try:
            found = passes(Loader(datasets, workers=1), datasets)
        finally:
            multiprocessing.set_start_method(usual, force=True)
        assert all(torch.equal(one.images, other.images) for one, other in zip(expected, found, strict=True))


class TestOrders:
    def test_blocks_are_neighbours_and_cover_everything(self):
        for count in range(9):
            parts = [block(count, rank, 4) for rank in range(4)]
            assert list(chain.from_iterable(parts)) == list(range(count))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
            assert len(parts[-1]) == max(map(len, parts)), "where anybody has an image, the last one has"

    def test_order_is_a_permutation_of_seed_and_epoch(self):
        order = epoch_order(100, 1, 2)
        assert sorted(order) == list(range(100))
        assert order == epoch_order(100, 1, 2)
        assert len({tuple(epoch_order(100, seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9

    def test_a_balanced_order_shows_all_classes_equally_often(self):
        labels = [0] * 40 + [1] * 7 + [2] * 3
        order = balanced_order(labels, 1, 2)
        shown = Counter(labels[index] for index in order)
        assert len(order) == 50
        assert sorted(shown.values()) == [16, 17, 17]
        often = Counter(order)
        for label in range(3):
            counts = [often[index] for index, own in enumerate(labels) if own == label]
            assert max(counts) - min(counts) <= 1
        assert order == balanced_order(labels, 1, 2)
        orders = [balanced_order(labels, 1, epoch) for epoch in range(20)]
        assert set(chain.from_iterable(orders)) == set(range(50)), "all images come in time"

    def test_shards_cover_everything_evenly(self):
        order = epoch_order(10, 0, 0)
        parts = [shard(order, rank, 4) for rank in range(4)]
        assert {len(part) for part in parts} == {3}
        assert set().union(*parts) == set(range(10))
        exact = [shard(order, rank, 4, even=False) for rank in range(4)]
        assert sorted(chain.from_iterable(exact)) == list(range(10))

    def test_fewer_entries_than_processes(self):
        assert [shard([7], rank, 3) for rank in range(3)] == [[7], [7], [7]]
        assert [shard([], rank, 3) for rank in range(3)] == [[], [], []]


class TestReadable:
    def test_bad_files_are_named_and_left_out(self, records):
        records[1].path.write_bytes(b"")
        records[4].path.unlink()
        seen = []
        good, problems = readable(records, lambda done, total: seen.append(done))
        assert [record.id for record in good] == [r.id for i, r in enumerate(records) if i not in (1, 4)]
        assert len(problems) == 2
        assert str(records[1].path) in problems[0]
        assert "empty" in problems[0]
        assert seen == list(range(1, 9))

    def test_verified_once_until_the_file_changes(self, records, monkeypatch):
        readable(records)
        calls = []
        verify = loading.verify_image
        monkeypatch.setattr(loading, "verify_image", lambda path: (calls.append(path), verify(path))[1])
        assert len(readable(records)[0]) == 8
        assert calls == []
        records[0].path.write_bytes(records[0].path.read_bytes() + b"\0")
        os.utime(records[0].path, ns=(1, 1))
        readable(records)
        assert calls == [records[0].path]


def test_a_box_outside_its_image_leaves_it_out_and_many_are_refused(cub):
    for n in (1, 2):
        good, problems = readable(read_image_set(cub.root).records)
        assert (len(good), len(problems)) == (9 - n, n - 1)
        assert all("holds no pixel of the image of 40 x 30 pixels" in problem for problem in problems)
        cub.replace_line("bounding_boxes.txt", n, f"{n} 41.0 5.0 20.0 15.0")
    with pytest.raises(UserError, match="2 of 8 annotations cannot be used: boxes outside their image"):
        readable(read_image_set(cub.root).records)
    assert len(readable(read_image_set(cub.root).records, of=20)[0]) == 6
