"""The commands explain, attribute and prototypes: what they write, and what they refuse."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from protoexplain.checkpoint.checkpoint import add_metrics
from protoexplain.data.read import read_image_set
from protoexplain.explanations.attribution.methods import METHODS
from protoexplain.explanations.characteristics.calibration import StrengthCalibration
from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS
from protoexplain.explanations.characteristics.table import Characteristics, ScoreTable
from protoexplain.explanations.evidence.local import SCHEMA_VERSION
from protoexplain.explanations.explainer import Explainer


def every_prototype(count):
    """Made-up global characteristics: each prototype rests on the first characteristic alone."""
    names = tuple(MODIFICATIONS)
    value = [3.0, *[0.0] * (len(names) - 1)]
    table = ScoreTable(*((tuple(one + by for one in value),) * count for by in (0.0, -0.1, 0.1)))
    strengths = {name: entry.strength for name, entry in MODIFICATIONS.items()}
    calibration = StrengthCalibration(strengths, dict.fromkeys(names, 0.1), (0.01,) * count)
    return Characteristics(
        "train", "abc", 24, names, calibration, table, table, (4.0,) * count, (6,) * count, 0.95, 2000
    )


@pytest.fixture
def bird(planted):
    return read_image_set(planted).split("test")[0]


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


class TestExplain:
    @pytest.mark.parametrize("family", ["protopnet", "cbc"])
    def test_answers_beside_the_explanation(self, cli, tiny_checkpoint, planted, bird, tmp_path, family):
        code, told, trouble = cli(
            "explain", tiny_checkpoint(family), bird.path, "-d", planted, "-o", tmp_path, "--rows", 2
        )
        assert code == 0, trouble
        (entry,) = read(tmp_path / "explanation.json")["explanations"]
        assert entry["schema"] == SCHEMA_VERSION
        assert entry["contrast"]["this"]["label"] == entry["predictions"][0]["label"]
        assert entry["contrast"]["other"]["label"] == entry["predictions"][1]["label"]
        assert [one["prototype"] for one in entry["box_tests"]] == [
            match["prototype"] for match in entry["classes"][0]["found"]
        ]
        assert all(len(one["random_falls"]) == 9 for one in entry["box_tests"])
        change = entry["what_would_change"]
        assert change is None or change["outcome"]["label"] != change["predicted"]["label"]
        assert all(sentence in told for sentence in entry["sentences"])

    def test_what_was_done_to_a_picture_is_told(self, cli, tiny_checkpoint, tmp_path):
        two = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
        two[0].save(tmp_path / "moving.gif", save_all=True, append_images=two[1:])
        words = (tmp_path / "moving.gif", "-o", tmp_path, "--random-boxes", 0)
        code, told, trouble = cli("explain", tiny_checkpoint("protopnet"), *words)
        assert code == 0, trouble
        assert "Note: the file has several frames; only the first is used." in told

    def test_predict_is_explain(self, cli, tiny_checkpoint, bird, tmp_path):
        arguments = [tiny_checkpoint("protopnet"), bird.path, "-o", tmp_path, "--random-boxes", 0, "--json"]
        assert cli("predict", *arguments) == cli("explain", *arguments)
        assert "predict" not in cli("--help")[1]

    def test_names_that_are_too_long_or_no_text(self, cli, tiny_checkpoint, bird, tmp_path):
        names = ["n" * 250 + ".png", "n" * 250 + ".jpg", os.fsdecode(b"bad\xff.png"), os.fsdecode(b"\xff.png")]
        for name in names:
            shutil.copy(bird.path, tmp_path / name)
        options = ["-o", tmp_path / "out", "--classes", 1, "--rows", 1, "--random-boxes", 0]
        code, *_ = cli("explain", tiny_checkpoint("protopnet"), *(tmp_path / name for name in names), *options)
        assert code == 0
        told = json.loads((tmp_path / "out/explanation.json").read_text())
        assert [entry["path"] for entry in told["explanations"]] == [str(tmp_path / name) for name in names]
        pictures = [Path(entry["picture"]) for entry in told["explanations"]]
        assert [path.name for path in pictures[2:]] == ["bad.png", "picture.png"]
        assert len(set(pictures)) == 4
        assert all(path.is_file() for path in pictures)

    @pytest.mark.parametrize(("given", "there"), [("a.png", "a.png"), ("a.jpg", "a.png")])
    def test_no_picture_is_replaced(self, cli, tiny_checkpoint, bird, tmp_path, given, there):
        for name in {given, there}:
            shutil.copy(bird.path, tmp_path / name)
        code, told, trouble = cli("explain", tiny_checkpoint("protopnet"), tmp_path / given, "-o", tmp_path)
        assert (code, told) == (2, "")
        assert "this picture would be replaced by a sheet" in trouble
        assert str(tmp_path / there) in trouble
        assert (tmp_path / there).read_bytes() == bird.path.read_bytes()

    def test_what_if_the_image_were_otherwise(self, cli, tiny_checkpoint, bird, tmp_path):
        words = ("--rows", 2, "--random-boxes", 0, "--change", "saturation=0", "--change", "hue=0.2")
        code, told, trouble = cli("explain", tiny_checkpoint("protopnet"), bird.path, "-o", tmp_path, *words)
        assert code == 0, trouble
        (entry,) = read(tmp_path / "explanation.json")["explanations"]
        assert entry["what_if"]["named"]["before"] == entry["predictions"][0]
        assert entry["what_if"]["additive_error"] < 1e-5
        assert entry["sentences"][-1] in told

    @pytest.mark.parametrize("change", ["hue", "hue=red", "hue=9", "smell=1"])
    def test_no_such_change(self, cli, tiny_checkpoint, bird, tmp_path, change):
        code, _, trouble = cli(
            "explain", tiny_checkpoint("protopnet"), bird.path, "-o", tmp_path / "none", "--change", change
        )
        assert code == 2
        assert change.partition("=")[0] in trouble
        assert not (tmp_path / "none").exists()

    def test_chosen_class_rule_and_method(self, cli, tiny_checkpoint, planted, bird, tmp_path):
        names = read_image_set(planted).classes
        options = ["--class", names[3], "--against", names[1], "--box", "cell", "--method", "saliency"]
        code, told, trouble = cli(
            "explain", tiny_checkpoint("protopnet"), bird.path, "-o", tmp_path, *options, "--random-boxes", 0, "--json"
        )
        assert code == 0, trouble
        (entry,) = json.loads(told)["explanations"]
        assert [shown["name"] for shown in entry["classes"]] == [names[3]]
        assert (entry["contrast"]["this"]["name"], entry["contrast"]["other"]["name"]) == (names[3], names[1])
        assert entry["box_rule"] == "cell"
        assert entry["box_tests"] == []
        plain = tmp_path / "plain"
        cli("explain", tiny_checkpoint("protopnet"), bird.path, "-o", plain, *options[:-2], "--random-boxes", 0)
        assert (plain / f"{bird.path.stem}.png").read_bytes() != (tmp_path / f"{bird.path.stem}.png").read_bytes()

    def test_evidence_by_name(self, cli, tiny_checkpoint, bird, tmp_path):
        told = {}
        for name in ("shapley", "product"):
            code, text, trouble = cli(
                "explain", tiny_checkpoint("protopnet"), bird.path, "-o", tmp_path / name, "--evidence", name, "--json"
            )
            assert code == 0, trouble
            (told[name],) = json.loads(text)["explanations"]
            assert told[name]["evidence"] == name
        found = told["product"]["classes"][0]["found"][0]
        assert found["usual"] is None
        assert told["shapley"]["classes"][0]["found"][0]["usual"] > 0
        assert [p["probability"] for p in told["shapley"]["predictions"]] == [
            p["probability"] for p in told["product"]["predictions"]
        ]
        assert sum(p["score"] for p in told["shapley"]["predictions"]) == pytest.approx(0, abs=1e-4)
        code, _, trouble = cli(
            "explain", tiny_checkpoint("protopnet"), bird.path, "-o", tmp_path / "x", "--evidence", "produce"
        )
        assert code == 2
        assert "did you mean 'product'" in trouble

    def test_characteristics_of_each_match(self, cli, tiny_checkpoint, bird, tmp_path, monkeypatch):
        """Scores alone at first; with a calibrated checkpoint, sentences in the numbers and in the picture."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        plain = tiny_checkpoint("protopnet")
        calibrated = shutil.copytree(plain, tmp_path / "calibrated")
        add_metrics(calibrated, every_prototype(8).to_metrics())
        pictures, words = {}, ("explain", bird.path, "--rows", 2, "--random-boxes", 0)
        for name, path, options in (("without", plain, ()), ("scores", plain, "?"), ("sentences", calibrated, "?")):
            out, asked = tmp_path / name, ["--characteristics"] if options else []
            code, _, trouble = cli(words[0], path, *words[1:], "-o", out, *asked)
            assert code == 0, trouble
            (entry,) = read(out / "explanation.json")["explanations"]
            pictures[name] = (out / f"{bird.path.stem}.png").read_bytes()
            found = [match["characteristics"] for shown in entry["classes"] for match in shown["found"]]
            assert len(found) == 6
            for one in found:
                assert (one is None) == (name == "without")
                if one is not None:
                    assert set(one["published"]) == set(MODIFICATIONS)
                    assert (one["calibrated"] is None) == (name == "scores")
                    assert ("calibrates the model" in one["sentence"]) == (name == "scores")
        assert len(set(pictures.values())) == 3

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--class", "Wron"], "no class 'Wron'"),
            (["--against", "Wron"], "no class 'Wron'"),
            (["--method", "lim"], "did you mean 'lime'"),
            (["--box", "percentile:200"], "from 0 to 100"),
        ],
    )
    def test_bad_options(self, cli, tiny_checkpoint, bird, tmp_path, options, words):
        code, told, trouble = cli("explain", tiny_checkpoint("protopnet"), bird.path, "-o", tmp_path / "out", *options)
        assert (code, told) == (2, "")
        assert words in trouble
        assert any(f"where: {place}" in trouble for place in options)
        assert not (tmp_path / "out").exists()


class TestAttribute:
    def test_all_methods(self, cli, tiny_checkpoint, planted, bird, tmp_path):
        asked = ["--prototype", 3, "--neighbourhoods", "one-out,mask"]
        path = tiny_checkpoint("protopnet")
        code, told, trouble = cli("attribute", path, bird.path, "-d", planted, "-o", tmp_path, *asked)
        assert code == 0, trouble
        content = read(tmp_path / "attributions.json")
        assert content["target"] == {"kind": "prototype", "index": 3}
        assert set(content["methods"]) == set(METHODS)
        assert list(content["fit_errors"]) == ["one-out", "mask"]
        assert content["recommended"]["one-out"] == "occlusion"
        assert all(sentence in told for sentence in content["sentences"])
        assert f"{content['value']:.3f}" in told
        forward = Explainer(tiny_checkpoint("protopnet")).forward(bird.path, box=bird.box)
        assert content["value"] == pytest.approx(float(forward.forward_pass.activations[3]), abs=1e-4)
        with np.load(tmp_path / "attributions.npz") as maps:
            assert set(maps) == set(METHODS)
            assert all(maps[name].shape == (64, 64) for name in maps)
        with Image.open(tmp_path / "attributions.png") as picture:
            assert picture.width == 1200

    def test_best_class_and_few_methods(self, cli, tiny_checkpoint, bird, tmp_path):
        arguments = (
            "attribute",
            tiny_checkpoint("cbc"),
            bird.path,
            "-o",
            tmp_path,
            "--methods",
            "saliency, occlusion",
            "--json",
        )
        code, told, trouble = cli(*arguments)
        assert code == 0, trouble
        content = json.loads(told)
        best = Explainer(tiny_checkpoint("cbc")).forward(bird.path).forward_pass.ranked[0]
        assert content["target"] == {"kind": "class", "index": best}
        assert list(content["methods"]) == ["saliency", "occlusion"]
        assert content == read(tmp_path / "attributions.json")
        assert json.loads(cli(*arguments)[1]) == content, "the same again"

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--prototype", "1", "--class", "x"], "give one of them"),
            (["--prototype", "999"], "no prototype number 999"),
            (["--class", "Wron"], "no class 'Wron'"),
            (["--methods", "lime,limes"], "did you mean 'lime'"),
            (["--methods", "receptive-field"], "says nothing of a class"),
            (["--neighbourhoods", "mosk"], "did you mean 'mask'"),
        ],
    )
    def test_bad_options(self, cli, tiny_checkpoint, bird, tmp_path, options, words):
        code, told, trouble = cli(
            "attribute", tiny_checkpoint("protopnet"), bird.path, "-o", tmp_path / "out", *options
        )
        assert (code, told) == (2, "")
        assert words in trouble
        assert not (tmp_path / "out").exists()

    def test_a_place_within_the_checkpoint_is_refused_before_the_work(self, cli, tiny_checkpoint, bird, monkeypatch):
        monkeypatch.setattr(Explainer, "attribute", lambda *_, **__: pytest.fail("it was computed"))
        checkpoint = tiny_checkpoint("protopnet")
        code, _, trouble = cli("attribute", checkpoint, bird.path, "-o", checkpoint / "maps")
        assert code == 2
        assert "would lie within a checkpoint" in trouble
        assert not (checkpoint / "maps").exists()

    def test_unreadable_image(self, cli, tiny_checkpoint, tmp_path):
        (tmp_path / "x.png").write_bytes(b"text")
        code, _, trouble = cli("attribute", tiny_checkpoint("protopnet"), tmp_path / "x.png", "-o", tmp_path / "out")
        assert code == 2
        assert "x.png" in trouble


class TestPrototypes:
    def test_folder(self, cli, tiny_checkpoint, planted, tmp_path):
        path = tiny_checkpoint("protopnet")
        code, told, trouble = cli("prototypes", path, "-d", planted, "-o", tmp_path, "-k", 2)
        assert code == 0, trouble
        content = read(tmp_path / "prototypes.json")
        assert content["images"] == {"train": 20, "test": 8}
        assert len(content["prototypes"]) == 8
        assert all(len(entry["splits"]["test"]["nearest"]) == 2 for entry in content["prototypes"])
        assert sorted(path.name for path in tmp_path.glob("*.jpg")) == [f"prototype-{i:05}.jpg" for i in range(8)]
        assert "8 prototypes, 20 training and 8 test images" in told
        foreign = sum(entry["splits"]["train"]["foreign"] > 0.5 for entry in content["prototypes"])
        assert f"{foreign} of 8 prototypes are nearest to training images of other classes" in told

    def test_global_sentences_where_measured(self, cli, tiny_checkpoint, planted, tmp_path):
        measured = shutil.copytree(tiny_checkpoint("protopnet"), tmp_path / "measured")
        plain = cli("prototypes", measured, "-d", planted, "-o", tmp_path / "before", "-k", 1)
        add_metrics(measured, every_prototype(8).to_metrics())
        code, _, trouble = cli("prototypes", measured, "-d", planted, "-o", tmp_path / "after", "-k", 1)
        assert (code, plain[0]) == (0, 0), trouble
        before, after = (read(tmp_path / name / "prototypes.json")["prototypes"] for name in ("before", "after"))
        assert {entry["characteristics"] for entry in before} == {None}
        assert all("rests" in entry["characteristics"] for entry in after)
        heights = [Image.open(tmp_path / name / "prototype-00000.jpg").height for name in ("before", "after")]
        assert heights[0] < heights[1]

    def test_reasoning_has_a_picture(self, cli, tiny_checkpoint, planted, tmp_path):
        code, _, trouble = cli("prototypes", tiny_checkpoint("shallow_cbc"), "-d", planted, "-o", tmp_path, "-k", 1)
        assert code == 0, trouble
        assert Image.open(tmp_path / "reasoning.png").format == "PNG"
        assert len(read(tmp_path / "prototypes.json")["prototypes"][0]["reasoning"]) > 1

    def test_json_without_a_folder(self, cli, tiny_checkpoint, planted, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        code, told, trouble = cli("prototypes", tiny_checkpoint("cbc"), "-d", planted, "--json")
        assert code == 0, trouble
        content = json.loads(told)
        assert [entry["prototype"] for entry in content["prototypes"]] == list(range(12))
        assert all(entry["splits"]["train"]["foreign"] is None for entry in content["prototypes"])
        assert list(tmp_path.iterdir()) == []

    def test_other_data(self, cli, tiny_checkpoint, class_folders):
        code, told, trouble = cli("prototypes", tiny_checkpoint("protopnet"), "-d", class_folders)
        assert (code, told) == (2, "")
        assert "classes" in trouble
