"""Kept pictures are what was put, up to the limit, and leave nothing else behind."""

import pickle

import numpy as np

from protoexplain.data import picture_store
from protoexplain.data.picture_store import PictureStore


def picture(seed, height=40, width=40):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_pictures_are_copies_that_do_not_overlap(monkeypatch):
    monkeypatch.setattr(picture_store, "_BLOCK", 20_000)
    store, sizes = PictureStore(1 << 20), [(seed, 30 + seed, 50 - seed) for seed in range(20)]
    given = [picture(*size) for size in sizes]
    places = [store.put(each) for each in given]
    for each in given:
        each[...] = 0
    assert all((store.get(place) == picture(*size)).all() for place, size in zip(places, sizes, strict=True))
    assert store.left == store.size - sum(each.nbytes for each in given)
    assert len({block for block, *_ in places}) > 3, "one block would not show what happens at its end"


def test_what_is_left_is_never_exceeded():
    store = PictureStore(2 * 4800)
    assert store.put(picture(0)) is not None
    assert store.put(picture(1, 41, 40)) is None, "too large for what is left"
    assert store.put(picture(1)) is not None
    assert store.put(picture(2, 1, 1)) is None
    assert sum(block.nbytes for block in store._blocks) <= 2 * 4800


def test_larger_than_a_block(monkeypatch):
    monkeypatch.setattr(picture_store, "_BLOCK", 1000)
    store = PictureStore(1 << 20)
    place, other = store.put(picture(3)), store.put(picture(4, 5, 5))
    assert (store.get(place) == picture(3)).all()
    assert (store.get(other) == picture(4, 5, 5)).all()


def test_places_are_plain_numbers():
    """An object of numpy for each picture would lie in the heap among feature maps, and pin it."""
    place = PictureStore(1 << 20).put(picture(0))
    assert [type(number) for number in place] == [int] * 4


def test_pickled_store_starts_empty():
    store = PictureStore(5000)
    store.put(picture(0))
    copy = pickle.loads(pickle.dumps(store))  # noqa: S301
    assert (copy.size, copy.left) == (5000, 5000)
