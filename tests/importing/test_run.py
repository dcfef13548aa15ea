"""An imported model is a checkpoint like any other: it is explained, measured, reported and opened in the app."""

import json

import pytest
import torch
import yaml
from official import CLASSES, SIZE, PPNet, PrototypeChooser, save_state, save_whole

import protoexplain as px
from protoexplain.checkpoint.checkpoint import Checkpoint
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


def test_without_data_prototypes_have_no_pictures(without_data):
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


def cabrnet_folder(folder, **changes):
    """A ProtoPNet as CaBRNet writes it."""
    folder.mkdir()
    official = PPNet().state_dict()
    state = {
        **{f"extractor.convnet.{n.removeprefix('features.')}": t for n, t in official.items() if "features" in n},
        **{f"extractor.add_on.conv{1 + i // 2}.{kind}": official[f"add_on_layers.{i}.{kind}"]
           for i in (0, 2) for kind in ("weight", "bias")},
        "classifier.prototypes": official["prototype_vectors"],
        "classifier.last_layer.weight": official["last_layer.weight"],
        "classifier.proto_class_map": torch.eye(CLASSES).repeat_interleave(3, 0),
    }  # fmt: skip
    torch.save(state, folder / "model_state.pth")
    kinds = {"conv1": "Conv2d", "relu1": "ReLU", "conv2": "Conv2d", "sigmoid1": "Sigmoid"}
    architecture = {
        "extractor": {
            "backbone": {"arch": "resnet18", "layer": "layer2", "weights": "None"},
            "add_on": {"init_mode": "XAVIER", **{name: {"type": kind} for name, kind in kinds.items()}},
        },
        "similarity": {"name": "ProtoPNetSimilarity"},
        "classifier": {"name": "ProtoPNetClassifier", "params": {"num_classes": CLASSES}},
        **changes,
    }
    (folder / "model_arch.yml").write_text(yaml.safe_dump(architecture, sort_keys=False))
    return folder


def test_folders_of_cabrnet(tmp_path):
    torch.manual_seed(3)
    model = px.load(cabrnet_folder(tmp_path / "ours"), "cpu", classes=NAMES, assignments=[f"data.image_size={SIZE}"])
    images = torch.rand(2, 3, SIZE, SIZE)
    torch.manual_seed(3)
    same = px.load(save_state(PPNet(), tmp_path / "same.pth"), "cpu", classes=NAMES)
    torch.testing.assert_close(model(images), same(images))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classifier": {"name": "ProtoTreeClassifier"}}, "ProtoTreeClassifier"),
        ({"similarity": {"name": "CosineSimilarity"}}, "CosineSimilarity"),
        ({"similarity": {"params": {"stability_factor": "small"}}}, "stability_factor"),
        ({"extractor": {"backbone": {"arch": "vgg19"}, "add_on": {}}}, "the add-on is empty"),
        ({"extractor": None}, "the add-on is empty"),
    ],
)
def test_other_folders_of_cabrnet_are_refused(tmp_path, changes, said):
    with pytest.raises(px.UserError, match=said):
        px.load(cabrnet_folder(tmp_path / "theirs", **changes), "cpu", classes=NAMES)
