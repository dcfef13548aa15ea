"""The store of checkpoints: what is listed, what is broken, what stays in memory."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.actions.explain import explain_case
from app.state import ModelStore
from protoexplain.errors import UserError


def touch_manifest(folder):
    """Give the manifest a later time, as a new checkpoint has."""
    path = folder / "MANIFEST.json"
    time = path.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(time, time))


def flip_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_broken_checkpoint_is_listed_with_its_reason_and_harms_no_other(folder):
    flip_byte(folder / "b-cbc" / "config.yaml")
    (folder / "holiday pictures").mkdir()
    listed, broken = ModelStore(folder).scan()
    assert [entry.name for entry in listed] == ["a-protopnet"]
    assert [entry.name for entry in broken] == ["b-cbc"]
    assert "config.yaml" in broken[0].reason


def test_an_empty_folder_lists_nothing(tmp_path):
    assert ModelStore(tmp_path).scan() == ((), ())


def test_a_new_checkpoint_appears_with_the_next_scan(folder, store):
    shutil.copytree(folder / "b-cbc", folder / "c-copy")
    assert [entry.name for entry in store.scan()[0]] == ["a-protopnet", "b-cbc", "c-copy"]


@pytest.mark.parametrize("name", ["../checkpoints/a-protopnet", "/etc", "", "nothing"])
def test_only_listed_names_open_a_checkpoint(store, name):
    with pytest.raises(UserError, match="no checkpoint"):
        store.explainer(name)


def test_the_models_used_last_are_kept(folder):
    store = ModelStore(folder, kept=1)
    store.scan()
    first = store.explainer("a-protopnet")
    assert store.explainer("a-protopnet") is first
    store.explainer("b-cbc")
    assert store.explainer("a-protopnet") is not first


def test_many_visitors_load_a_model_once(store):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(store.explainer, ["a-protopnet"] * 16))
    assert len({id(explainer) for explainer in found}) == 1


def test_a_deleted_checkpoint_keeps_serving_while_in_memory(folder, store):
    before = store.explainer("a-protopnet")
    shutil.rmtree(folder / "a-protopnet")
    assert "a-protopnet" in [entry.name for entry in store.scan()[0]]
    assert store.explainer("a-protopnet") is before


def test_a_broken_successor_is_told_and_the_old_model_keeps_serving(folder, store, examples):
    before = store.explainer("a-protopnet")
    flip_byte(folder / "a-protopnet" / "model.safetensors")
    touch_manifest(folder / "a-protopnet")
    listed, broken = store.scan()
    assert "a-protopnet" in [entry.name for entry in listed]
    assert "model.safetensors" in broken[0].reason
    assert store.explainer("a-protopnet") is before
    assert explain_case(before, examples.of(before.checkpoint)[0]).supporting


def test_a_good_successor_replaces_the_old_model(folder, store):
    before = store.explainer("a-protopnet")
    shutil.rmtree(folder / "a-protopnet")
    shutil.copytree(folder / "b-cbc", folder / "a-protopnet")
    touch_manifest(folder / "a-protopnet")
    store.scan()
    after = store.explainer("a-protopnet")
    assert before.title == "ProtoPNet"
    assert after.title != "ProtoPNet"
