"""All pictures of a run: whose they are, and how many of them stay decoded."""

import pytest
import torch
from tiny_runs import open_run, tiny_config

from protoexplain.training.pictures import Pictures


@pytest.fixture
def run(planted, tmp_path):
    return open_run(tiny_config("protopnet"), planted, tmp_path)


def made(run, workers=0, processes=1, size=1 << 20):
    config = run.config.model_copy(update={"data": run.config.data.model_copy(update={"workers": workers})})
    return Pictures(run.data, config, torch.device("cpu"), processes, size)


def every(run, found):
    """The datasets: training images with random changes, and those of all splits as they are."""
    splits = (run.data.train, run.data.validation, run.data.test)
    return [found.dataset(run.data.train, augmented=True), *(found.dataset(part, augmented=False) for part in splits)]


def test_whose_they_are(run):
    found = made(run)
    changed, *clean = every(run, found)
    assert changed.augmentation.name == run.config.data.augmentation != "none"
    assert changed.records == run.data.train
    assert [dataset.records for dataset in clean] == [run.data.train, run.data.validation, run.data.test]
    assert {dataset.augmentation.name for dataset in clean} == {"none"}
    inputs = found.inputs(run.data.test, augmented=False)
    assert inputs.dataset is clean[2]
    assert inputs.loader is found.loader is found.inputs(run.data.train, augmented=True).loader


def test_one_limit_over_all_splits(run):
    """The training images fill it; nothing of what comes later is kept, and all comes out as before."""
    picture = 64 * 64 * 3
    datasets = every(run, made(run, size=5 * picture))
    first = [[dataset.pixels(i) for i in range(len(dataset))] for dataset in datasets]
    store = datasets[0]._store
    assert 4 * picture <= store.size - store.left <= 5 * picture
    again = [[dataset.pixels(i) for i in range(len(dataset))] for dataset in datasets]
    assert all(torch.equal(a, b) for one, two in zip(first, again, strict=True) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize(("workers", "processes"), [(0, 1), (1, 1), (2, 1), (0, 4), (2, 4)])
def test_workers_and_processes_share_the_limit(run, workers, processes):
    """Each worker of each process keeps pictures of its own."""
    (store,) = {dataset._store for dataset in every(run, made(run, workers, processes))}
    assert store.size * max(1, workers) * processes == 1 << 20
