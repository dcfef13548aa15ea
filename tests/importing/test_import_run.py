"""An imported model is a checkpoint like any other: it is explained, measured, reported and opened in the app."""

import json

import pytest
import torch
from official import CLASSES, SIZE, PPNet, PrototypeChooser, save_state, save_whole

import protoexplain as px
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.dataset_view import view_of
from protoexplain.data.read import read_image_set
from protoexplain.importing.run import import_model
from protoexplain.training.verify import verify

NAMES = ("wren", "owl", "gull", "tern")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    torch.manual_seed(0)
    return save_whole(PPNet(), tmp_path_factory.mktemp("official") / "10nopush0.7823.pth")


@pytest.fixture(scope="module")
def with_data(whole, planted, tmp_path_factory):
    return import_model(whole, tmp_path_factory.mktemp("imported") / "model", data=planted).checkpoint


@pytest.fixture(scope="module")
def without_data(whole, tmp_path_factory):
    return import_model(whole, tmp_path_factory.mktemp("imported") / "model", classes=NAMES).checkpoint


@pytest.fixture(params=["with data", "without"])
def imported(request, with_data, without_data):
    return with_data if request.param == "with data" else without_data


def test_with_data_prototypes_have_their_nearest_patches(with_data, planted):
    records = {record.id: record for record in read_image_set(planted).records}
    for prototype in with_data.prototypes:
        assert records[prototype.image_id].label == prototype.label
        assert not prototype.projected
        assert with_data.picture(prototype.index, "patch")
    assert with_data.classes == read_image_set(planted).classes
    assert 0 <= with_data.metrics["test_accuracy"] <= 1
    assert verify(with_data).passed


def test_without_data_prototypes_have_no_pictures(without_data, planted):
    (notice,) = view_of(without_data, planted).notices
    assert "came without its data" in notice
    assert without_data.classes == NAMES
    assert all(record.image_id is None for record in without_data.prototypes)
    assert [record.label for record in without_data.prototypes] == [label for label in range(CLASSES) for _ in range(3)]
    assert without_data.metrics["imported"]["code"].startswith("ProtoPNet")
    assert verify(without_data).passed


def test_it_is_explained_and_measured(imported, planted, cli, tmp_path):
    image = read_image_set(planted).split("test")[0].path
    explanation = px.explain(imported, image, device="cpu")
    assert explanation.predicted.name in imported.classes
    assert len(explanation.rows) == 5
    out = tmp_path / "explained"
    code, _, trouble = cli("explain", imported.path, image, "--out", out, "--device", "cpu")
    assert code == 0, trouble
    assert any(out.rglob("*"))
    if imported.data.train_images:
        results = px.measure(imported, planted, ["accuracy", "consistency"], device="cpu")
        assert set(results) == {"accuracy", "consistency"}


def test_it_is_reported(imported, cli, tmp_path):
    code, _, trouble = cli("report", imported.path, "--out", tmp_path / "report.html")
    assert code == 0, trouble
    assert imported.classes[0] in (tmp_path / "report.html").read_text()


def test_files_load_at_once(whole, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = px.load(whole, "cpu", classes=NAMES)
    assert model.classes == NAMES
    scores = model(torch.zeros(1, 3, SIZE, SIZE))
    assert scores.shape == (1, CLASSES)
    folder = model.checkpoint.path
    assert folder.is_dir()
    assert tmp_path in folder.parents
    del model
    assert not folder.exists()


def test_command_says_what_it_found_and_assumed(cli, tmp_path):
    names = tmp_path / "classes.txt"
    names.write_text("\n".join(NAMES) + "\n")
    file = save_state(PrototypeChooser(), tmp_path / "weights.pth")
    code, told, trouble = cli("import", file, "--out", tmp_path / "model", "--classes", names)
    assert (code, trouble) == (0, "")
    assert "ProtoPool" in told
    assert "images of 224 pixels" in told
    assert Checkpoint.load(tmp_path / "model").command.startswith("protoexplain import")
    more = ("--set", f"data.image_size={SIZE}", "--json")
    code, told, _ = cli("import", file, "--out", tmp_path / "other", "--classes", names, *more)
    assert json.loads(told)["code"].startswith("ProtoPool")
    assert Checkpoint.load(tmp_path / "other").config.data.image_size == SIZE


def test_what_is_missing_is_asked_for(cli, whole, planted, tmp_path):
    out = tmp_path / "model"
    for arguments, said in {
        (whole,): "--classes",
        (tmp_path / "absent.pth",): "no such file",
        (whole, "--classes", tmp_path / "absent.txt"): "no such file",
        (whole, "--data", tmp_path / "absent"): "the data set is missing",
        (whole, "--family", "protopnt"): "protopnet",
        (tmp_path,): "neither model_arch.yml",
    }.items():
        code, told, trouble = cli("import", *arguments, "--out", out)
        assert (code, told) == (2, "")
        assert said in trouble
    names = tmp_path / "classes.txt"
    for content, said in {
        "a\nb\n": "4 classes, but 2",
        "a\na\nb\nc\n": "named twice",
        "\n": "no class is named",
    }.items():
        names.write_text(content)
        assert said in cli("import", whole, "--classes", names, "--out", out)[2]
    names.write_text("\n".join(NAMES))
    assert "another order" in cli("import", whole, "--classes", names, "--data", planted, "--out", out)[2]
    assert not out.exists()
    out.mkdir()
    assert "the folder exists" in cli("import", whole, "--data", planted, "--out", out)[2]
