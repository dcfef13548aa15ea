"""Chunks of observations: what is not finite is never kept, and what is damaged is observed again."""

import pytest
import torch

from protoexplain.errors import UserError
from protoexplain.metrics.observe.store import ChunkStore

IDS = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]


def columns(**changed):
    return {"scores": torch.arange(10.0).view(5, 2), "label": torch.arange(5), "hit": torch.ones(5).bool(), **changed}


def test_columns_come_back(tmp_path):
    store = ChunkStore(tmp_path, "model")
    assert not store.has("clean", 0)
    for chunk in range(2):
        store.write("clean", chunk, columns(), IDS)
    assert store.has("clean", 0)
    assert not store.has("noisy", 0)
    assert not ChunkStore(tmp_path, "other model").has("clean", 0)
    table = store.table("clean", 2)
    assert torch.equal(table["label"], torch.arange(5).repeat(2))
    assert table["scores"].shape == (10, 2)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused_with_their_images(tmp_path, bad):
    store, scores = ChunkStore(tmp_path, "model"), torch.zeros(5, 2, 3)
    scores[[1, 2, 3, 4], 1, 2] = bad
    with pytest.raises(UserError, match=r"b.jpg, c.jpg, d.jpg and 1 more") as caught:
        store.write("clean", 0, columns(scores=scores), IDS)
    assert caught.value.where == "clean, scores"
    assert not store.has("clean", 0)
    flat = torch.zeros(5)
    flat[0] = bad
    with pytest.raises(UserError, match=r"not finite for a.jpg\n"):
        store.write("clean", 0, columns(scores=flat), IDS)
    store.write("clean", 0, columns(), IDS)
    assert store.has("clean", 0)


def test_a_damaged_chunk_counts_as_missing(tmp_path):
    store = ChunkStore(tmp_path, "model")
    store.write("clean", 0, columns(), IDS)
    (path,) = tmp_path.rglob("*.safetensors")
    good = path.read_bytes()
    for content in (b"", good[: len(good) // 2], b"\xff" * len(good)):
        path.write_bytes(content)
        assert not store.has("clean", 0)
    store.write("clean", 0, columns(), IDS)
    assert store.has("clean", 0)
