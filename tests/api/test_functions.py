"""The functions of `import protoexplain as px`, on a checkpoint that comes with the program."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import protoexplain as px


def test_a_loaded_model_is_a_module_that_knows_its_classes(model, file):
    assert isinstance(model, torch.nn.Module)
    assert not model.training
    assert "ProtoPNet" in repr(model)
    assert f"{len(model.classes)} classes" in repr(model)
    pictures = model.preprocess(file)
    assert pictures.shape == (1, 3, model.image_size, model.image_size)
    with torch.no_grad():
        scores = model(pictures)
    assert model.classes[int(scores.argmax())] == model.explain(file).predicted.name


def test_an_image_is_explained(model, file):
    explanation = px.explain(model, file, rows=3)
    assert isinstance(explanation, px.ImageExplanation)
    assert explanation.image == file.name
    assert len(explanation.rows) == 3
    first = explanation.rows[0]
    x0, y0, x1, y1 = explanation.region
    assert first.heatmap.dtype == np.float32
    assert first.heatmap.shape == (y1 - y0, x1 - x0)
    assert first.heatmap.max() == pytest.approx(first.similarity, rel=0.5)
    assert abs(first.evidence) >= abs(explanation.rows[1].evidence)
    assert x0 <= first.box[0] < first.box[2] <= x1


def test_every_kind_of_image_is_the_same_image(model, file):
    whole = px.explain(model, str(file))
    with Image.open(file) as image:
        image = image.convert("RGB")
    rgb = np.asarray(image)
    tensor = torch.from_numpy(rgb.copy()).permute(2, 0, 1)
    for given in (image, rgb, rgb / 255, tensor, tensor.float() / 255):
        found = px.explain(model, given)
        assert replace(found.explanation, image="") == replace(whole.explanation, image="")


def test_transparency_of_an_image_in_memory_is_that_of_its_file(model, file, tmp_path):
    with Image.open(file) as image:
        seen = image.convert("RGBA")
    seen.putalpha(128)
    seen.save(tmp_path / "half.png")
    found, whole = px.explain(model, seen), px.explain(model, tmp_path / "half.png")
    assert replace(found.explanation, image="") == replace(whole.explanation, image="")
    assert "on grey" in found.explanation.notices[0]


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 8, 8)),
        np.full((8, 8, 3), 2.0),
        np.full((8, 8, 3), 300),
        np.zeros(5),
        np.zeros((0, 3)),
        np.full((8, 8), "white"),
        None,
    ],
)
def test_what_is_no_image_is_refused(model, wrong):
    with pytest.raises(px.UserError, match="image"):
        px.explain(model, wrong)


def test_tables_pictures_and_files(model, file, tmp_path):
    explanation = px.explain(model, file, rows=2, class_name=model.classes[1])
    table = explanation.to_frame()
    assert list(table["prototype"]) == [row.prototype for row in explanation.rows]
    assert set(table["class"]) == {model.classes[1]}
    figure = explanation.plot()
    ((sheet,),) = [axes.images for axes in figure.axes]
    pixels = sheet.get_array()
    assert tuple(figure.get_size_inches() * figure.dpi) == pytest.approx((pixels.shape[1], pixels.shape[0]))
    assert (pixels < 255).any(2).mean() > 0.1
    explanation.save_json(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["image"] == file.name == explanation.to_dict()["image"]


def test_a_saved_model_loads_again_and_a_changed_one_is_not_saved(model, file, tmp_path):
    model.save(tmp_path / "copy")
    again = px.load(tmp_path / "copy", device="cpu")
    assert px.explain(again, file).explanation == px.explain(model, file).explanation
    with pytest.raises(px.UserError, match="exists"):
        model.save(tmp_path / "copy")
    with torch.no_grad():
        next(again.model.parameters()).add_(1)
    with pytest.raises(px.UserError, match="changed"):
        again.save(tmp_path / "other")


def test_what_there_is_to_choose_from():
    assert "protopnet" in px.list_families()
    assert "quick-protopnet" in px.list_presets("quick-*")
    assert all(name.startswith("quick-") for name in px.list_presets("quick-*"))
    assert "consistency" in px.list_metrics()
    assert "resnet34" in px.list_backbones("resnet3*")


def test_an_untrained_model():
    model = px.create_model("protopnet", 3, "resnet18", pretrained=False)
    with torch.no_grad():
        assert model(torch.rand(2, 3, 64, 64)).logits.shape == (2, 3)
    with pytest.raises(px.UserError, match="protopnat"):
        px.create_model("protopnat", 3)
    with pytest.raises(px.UserError, match="no_such_key"):
        px.create_model("protopnet", 3, pretrained=False, no_such_key=1)
    with pytest.raises(px.UserError, match="0 classes"):
        px.create_model("protopnet", 0)


@pytest.mark.slow
def test_train_and_measure(planted, tmp_path):
    from tiny_runs import tiny_config

    trained = px.train(tiny_config("protopnet"), planted, tmp_path / "run", device="cpu")
    assert px.explain(trained, trained.checkpoint.path / "thumbs" / trained.checkpoint.prototypes[0].source).rows
    result = px.measure(trained, planted, ["consistency"])["consistency"]
    assert 0 <= result.score.value <= 100
    with pytest.raises(px.UserError, match="neither a preset nor a file"):
        px.train("no-such-preset", planted, tmp_path / "other")


def test_a_script_of_a_user_is_type_checked():
    """`make test` runs mypy on the files of its configuration."""
    root = Path(__file__).parents[2]
    checked = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["mypy"]["files"]
    script = root / "tests" / "user_script.py"
    assert str(script.relative_to(root)) in checked
    made = (root / "Makefile").read_text()
    assert re.search(r"^test:.*\n(\t.*\n)*\t.* types suite$", made, re.MULTILINE)
    assert re.search(r"^types:.*\n\t\$\(BIN\)/mypy$", made, re.MULTILINE)
    used = {node.attr for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Attribute)}
    assert used >= {"LoadedModel", "load", "explain", "list_presets", "measure"}
