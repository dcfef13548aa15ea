"""The store of checkpoints: what is listed, what is broken, what stays in memory."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

import protoexplain_app.models
from protoexplain.checkpoint import checkpoint as checkpoint_module
from protoexplain.checkpoint.checkpoint import add_metrics
from protoexplain.errors import UserError
from protoexplain_app.models import ModelStore
from protoexplain_app.tabs.explain.actions import explain_image


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


GONE = "No such file or directory"
TROUBLES = {
    "vanishes after it was found": (protoexplain_app.models, "_last_change", FileNotFoundError(2, GONE)),
    "vanishes while it is read": (
        checkpoint_module,
        "verify_folder",
        FileNotFoundError(2, GONE),
    ),
    "may not be looked at": (protoexplain_app.models, "_last_change", PermissionError(13, "Permission denied")),
    "may not be read": (checkpoint_module, "verify_folder", PermissionError(13, "Permission denied")),
    "lies on a broken disk": (checkpoint_module, "read_limited", OSError(5, "Input/output error")),
    "reveals a mistake of the program": (checkpoint_module, "parse_contents", ZeroDivisionError()),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_the_trouble_of_one_folder_stays_its_own(name, folder, monkeypatch):
    """Root may read everything, so that troubles are played; gone, the folder is listed with the next scan."""
    place, function, trouble = TROUBLES[name]
    real = getattr(place, function)

    def troubled(*arguments):
        if any("b-cbc" in str(argument) for argument in arguments):
            raise trouble
        return real(*arguments)

    store = ModelStore(folder)
    with monkeypatch.context() as patch:
        patch.setattr(place, function, troubled)
        listed, broken = store.scan()
    assert [entry.name for entry in listed] == ["a-protopnet"]
    assert [entry.name for entry in broken] == ["b-cbc"]
    assert "cannot be read" in broken[0].reason
    if isinstance(trouble, OSError):
        assert trouble.strerror in broken[0].reason
        assert len(store.scan()[0]) == 2


def test_a_folder_that_cannot_be_listed_is_broken(folder, monkeypatch):
    real = os.scandir

    def scandir(path):
        if str(path).endswith("b-cbc"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    listed, broken = ModelStore(folder).scan()
    assert [entry.name for entry in listed] == ["a-protopnet"]
    assert [(entry.name, entry.reason) for entry in broken] == [("b-cbc", "it cannot be read: Permission denied")]


def test_measurements_that_were_added_are_found_by_the_next_scan(folder, store):
    before = store.explainer("a-protopnet")
    add_metrics(folder / "a-protopnet", {"interpretability": {"purity": {"value": 0.5}}})
    listed, broken = store.scan()
    assert broken == ()
    assert listed[0].checkpoint.metrics["interpretability"] == {"purity": {"value": 0.5}}
    after = store.explainer("a-protopnet")
    assert after.checkpoint.metrics["interpretability"] == {"purity": {"value": 0.5}}
    assert store.explainer("a-protopnet") is after is not before


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
    store = ModelStore(folder, max_models=1)
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
    assert explain_image(before, examples.of(before.checkpoint)[0]).of_kind("for")


def test_a_good_successor_replaces_the_old_model(folder, store):
    before = store.explainer("a-protopnet")
    shutil.rmtree(folder / "a-protopnet")
    shutil.copytree(folder / "b-cbc", folder / "a-protopnet")
    touch_manifest(folder / "a-protopnet")
    store.scan()
    after = store.explainer("a-protopnet")
    assert before.title == "ProtoPNet"
    assert after.title != "ProtoPNet"
