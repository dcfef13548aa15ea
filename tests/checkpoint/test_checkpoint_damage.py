"""Damaged and hostile checkpoints are refused in one line; nothing in them is executed."""

import json
import os
import pickle
import shutil
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file
from saved_checkpoints import built, refused, reseal, save

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.prototypes import FORMAT
from protoexplain.io.manifest import MANIFEST
from protoexplain.io.tensors import write_tensors


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    config, model = built("protopnet")
    return save(tmp_path_factory.mktemp("saved") / "best", config, model).path


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


FILES = ["model.safetensors", "proof.safetensors", "config.yaml", "prototypes.json", "metrics.json", "README.md"]


@pytest.mark.parametrize("name", [*FILES, MANIFEST, "thumbs/patch-0.jpg"])
def test_flipped_byte_is_refused(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 4
    (folder / name).write_bytes(bytes(content))
    assert name in refused(lambda: Checkpoint.load(folder))


@pytest.mark.parametrize("name", [*FILES, MANIFEST, "thumbs/patch-0.jpg"])
def test_missing_file_is_refused(folder, name):
    (folder / name).unlink()
    assert name in refused(lambda: Checkpoint.load(folder))
    assert name in refused(lambda: Checkpoint.load(folder, verify=False))


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml", "prototypes.json", "metrics.json", "README.md"])
def test_checkpoint_sealed_without_a_file_is_refused(folder, name):
    (folder / name).unlink()
    reseal(folder)
    assert name in refused(lambda: Checkpoint.load(folder))


def test_absent_and_foreign_folders_are_refused(tmp_path):
    assert "no such checkpoint" in refused(lambda: Checkpoint.load(tmp_path / "nowhere"))
    assert MANIFEST in refused(lambda: Checkpoint.load(tmp_path))


class Payload:
    """Leaves a marker when unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


BAD_TENSORS = {
    "truncated": lambda good: good[: len(good) // 2],
    "empty": lambda good: b"",
    "one byte": lambda good: b"\x01",
    "absurd header": lambda good: struct.pack("<Q", 10**18) + good[8:],
    "header beyond the end": lambda good: struct.pack("<Q", len(good)) + good[8:],
    "header no json": lambda good: struct.pack("<Q", 8) + b"notjson!",
    "text": lambda good: b"weights" * 100,
}


@pytest.mark.parametrize("name", BAD_TENSORS)
@pytest.mark.parametrize("sealed", [False, True])
def test_broken_tensor_files_are_refused(folder, name, sealed):
    path = folder / "model.safetensors"
    path.write_bytes(BAD_TENSORS[name](path.read_bytes()))
    if sealed:
        reseal(folder)
    assert "model.safetensors" in refused(lambda: Checkpoint.load(folder).model())


def test_pickles_are_refused_and_never_executed(folder, tmp_path):
    marker = tmp_path / "executed"
    pickled = pickle.dumps(Payload(marker))
    for name in ("model.safetensors", "proof.safetensors", "prototypes.json", "metrics.json", "config.yaml"):
        copy = shutil.copytree(folder, tmp_path / f"with-{name}")
        (copy / name).write_bytes(pickled)
        assert name in refused(lambda copy=copy: Checkpoint.load(copy))
        reseal(copy)
        assert name in refused(
            lambda copy=copy: (Checkpoint.load(copy).model(), Checkpoint.load(copy).before_projection())
        )
    torch.save(Payload(marker), folder / "model.pt")
    assert "model.pt" in refused(lambda: Checkpoint.load(folder))
    reseal(folder)
    assert "model.pt" in refused(lambda: Checkpoint.load(folder))
    assert not marker.exists()


@pytest.mark.parametrize("name", ["extra.bin", "thumbs/deep/x.jpg", "thumbs/x.svg", "thumbs/x.jpg.exe", "code.py"])
def test_unknown_files_are_refused_even_if_sealed(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).touch()
    reseal(folder)
    assert name in refused(lambda: Checkpoint.load(folder))


def change_tensors(folder, change):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    reseal(folder)


NAME = "branches.main.prototypes"
TENSOR_CHANGES = {
    "shape": (lambda t: t.update({NAME: torch.zeros(3, 8, 1, 1)}), [NAME, "[3, 8, 1, 1]", "[4, 8, 1, 1]"]),
    "dtype": (lambda t: t.update({NAME: t[NAME].half()}), [NAME, "float16", "float32"]),
    "nan": (lambda t: t[NAME].view(-1)[:2].fill_(float("nan")), [NAME, "2 numbers that are not finite"]),
    "infinite": (lambda t: t[NAME].view(-1)[3:].fill_(float("inf")), [NAME, "not finite"]),
    "missing": (lambda t: t.pop(NAME), [NAME, "is missing"]),
    "extra": (lambda t: t.update(more=torch.zeros(1)), ["more", "not known"]),
    "other classes": (lambda t: t["prototype_class"].fill_(0), ["prototype 2", "class 1", "0"]),
}


@pytest.mark.parametrize("name", TENSOR_CHANGES)
def test_unfit_tensors_are_refused(folder, name):
    change, words = TENSOR_CHANGES[name]
    change_tensors(folder, change)
    said = refused(lambda: Checkpoint.load(folder).model())
    assert all(word in said for word in words), said


def test_proof_that_is_not_finite_is_refused(folder):
    save_file({"main": torch.tensor([float("nan")])}, folder / "proof.safetensors")
    reseal(folder)
    assert "proof.safetensors" in refused(lambda: Checkpoint.load(folder).before_projection())


def change_json(folder, change, name="prototypes.json"):
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))
    reseal(folder)


def test_other_number_of_classes_is_refused(folder):
    change_json(folder, lambda c: c["classes"].append("Crow"))
    said = refused(lambda: Checkpoint.load(folder).model())
    assert "[2" in said
    assert "[3" in said


def test_newer_format_names_the_needed_version(folder):
    change_json(folder, lambda c: c.update(format=FORMAT + 1, written_by="9.8.7", novelty=[]))
    said = refused(lambda: Checkpoint.load(folder))
    assert f"format {FORMAT + 1}" in said
    assert "protoexplain 9.8.7 or newer" in said


@pytest.mark.parametrize(
    "name", ["../config.yaml", "/etc/passwd", "a/b.jpg", "..", "x.jpg\n", "x.svg", "", "~.jpg", "a\\b.jpg"]
)
@pytest.mark.parametrize("kind", ["patch", "source"])
def test_picture_names_cannot_leave_the_folder(folder, name, kind):
    change_json(folder, lambda c: c["prototypes"][1].update({kind: name}))
    assert f"prototypes.1.{kind}" in refused(lambda: Checkpoint.load(folder))


RECORD_CHANGES = {
    "unknown key": (lambda c: c["prototypes"][0].update(colour="red"), "colour"),
    "text for number": (lambda c: c["prototypes"][0].update(row="1"), "row"),
    "class that is not there": (lambda c: c["prototypes"][0].update(label=99), "class"),
    "owners that are not there": (lambda c: c["prototypes"][0].update(label=-1, classes=[0, 99]), "class"),
    "owner named twice": (lambda c: c["prototypes"][0].update(label=-1, classes=[1, 1]), "class"),
    "one class and several": (lambda c: c["prototypes"][0].update(label=0, classes=[0, 1]), "class"),
    "lost picture": (lambda c: c["prototypes"][0].update(patch="other.jpg"), "thumbs/other.jpg"),
    "wrong place": (lambda c: c["prototypes"].reverse(), "prototype 0"),
    "cell outside": (lambda c: c["prototypes"][2].update(row=4), "prototype 2"),
    "no classes": (lambda c: c.pop("classes"), "classes"),
    "no format": (lambda c: c.pop("format"), "format"),
    "huge number": (lambda c: c["prototypes"][0].update(similarity=float("nan")), "similarity"),
}


@pytest.mark.parametrize("name", RECORD_CHANGES)
def test_unfit_records_are_refused(folder, name):
    change, word = RECORD_CHANGES[name]
    change_json(folder, change)
    assert word in refused(lambda: Checkpoint.load(folder))


@pytest.mark.parametrize("originals", [[0, 1, 2, 9], [1, 0, 2, 3], [0, 0, 1, 2]])
def test_unfit_original_numbers_are_refused(folder, originals):
    def change(content):
        for record, original in zip(content["prototypes"], originals, strict=True):
            record["original_index"] = original

    change_json(folder, change)
    assert "original numbers" in refused(lambda: Checkpoint.load(folder).model())


BAD_YAML = {
    "tag": "family: !!python/object/apply:os.mkdir [executed]",
    "aliases": "a: &a [x]\nb: *a",
    "too large": "a: " + "x" * 2_000_000,
    "list": "- a",
    "not yaml": "{[",
    "binary": "\x00\x01",
    "unknown key": "family: protopnet\ncolour: red",
    "unknown family": "family: nothing",
}


@pytest.mark.parametrize("name", BAD_YAML)
def test_bad_configurations_are_refused(folder, name):
    (folder / "config.yaml").write_text(BAD_YAML[name])
    reseal(folder)
    assert "config.yaml" in refused(lambda: Checkpoint.load(folder))
    assert not os.path.exists("executed")


STATISTICS = {
    "other prototypes": ({"usual": 3, "low": 3, "high": 3}, "4 prototypes"),
    "one missing": ({"usual": 4, "low": 4}, "usual and low and high"),
    "one too many": ({"usual": 4, "low": 4, "high": 4, "mean": 4}, "usual and low and high"),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_unfit_statistics_are_refused(folder, name):
    sizes, words = STATISTICS[name]
    write_tensors(folder / "activations.safetensors", {name: torch.zeros(size) for name, size in sizes.items()})
    reseal(folder)
    assert words in refused(lambda: Checkpoint.load(folder).model())


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": NaN}', "[" * 100_000])
def test_bad_metrics_are_refused(folder, text):
    (folder / "metrics.json").write_text(text)
    reseal(folder)
    assert "metrics.json" in refused(lambda: Checkpoint.load(folder))
