"""The command line: what it prints, writes and returns; every mistake ends in three lines and exit code 2."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from forked import start_command
from PIL import Image
from tiny_runs import run_log, tiny_config, tiny_raw

from protoexplain.data.read import read_image_set


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_raw("protopnet", schedule={"lr_head": 0.01})))
    return path


@pytest.fixture(scope="module")
def trained(planted, config_file, tmp_path_factory):
    """The one run of this module, made by the command in a process of its own: (its folder, what it printed)."""
    folder = tmp_path_factory.mktemp("cli")
    out = folder / "run"
    command = ["train", "-c", config_file, "-d", planted, "-o", out, "--json"]
    code, told, trouble = start_command(*command, folder=folder).ended()
    assert code == 0, trouble
    return out, json.loads(told)


@pytest.fixture
def best(trained):
    return trained[0] / "best"


@pytest.fixture
def images(planted):
    return [record.path for record in read_image_set(planted).split("test")[:2]]


class TestData:
    def test_draw_then_check(self, cli, tmp_path):
        out = tmp_path / "birds"
        numbers = ["--classes", 2, "--train", 2, "--test", 1, "--size", 48]
        code, told, _ = cli("data", "draw", out, *numbers, "--json")
        assert (code, json.loads(told)["images"]) == (0, 6)
        assert cli("data", "draw", out, *numbers)[1] == f"6 images of 2 classes in {out}\n"
        code, told, _ = cli("data", "check", out, "--json")
        report = json.loads(told)
        assert (code, report["source"], report["train_counts"], report["test_counts"]) == (0, "cub", [2, 2], [1, 1])
        code, told, _ = cli("data", "check", out)
        assert code == 0
        assert "cub" in told

    @pytest.mark.parametrize("command", ["check", "draw"])
    def test_bad_folder(self, cli, tmp_path, command):
        place = tmp_path / "file"
        place.write_text("no folder")
        code, told, trouble = cli("data", command, place)
        assert (code, told) == (2, "")
        assert trouble.startswith("error: ")
        assert "where:" in trouble
        assert "fix:" in trouble


class TestDryRun:
    def test_text_is_a_configuration_that_can_be_read_again(self, cli, tmp_path):
        code, told, _ = cli("train", "--dry-run", "-s", "schedule.warm_epochs=4", "-s", "schedule.projections=[3]")
        assert code == 0
        settings = yaml.safe_load(told)
        assert settings["schedule"]["warm_epochs"] == 4
        assert "#   warm: 4 epochs" in told
        (tmp_path / "again.yaml").write_text(told)
        assert cli("train", "--dry-run", "-c", tmp_path / "again.yaml")[1] == told

    def test_a_schedule_that_training_refuses_is_refused(self, cli):
        code, _, trouble = cli("train", "--dry-run", "-s", "schedule.projections=[5]")
        assert code == 2
        assert "model.object_gate" in trouble

    def test_json_lists_the_stages(self, cli):
        code, told, _ = cli("train", "--dry-run", "--json", "-c", "planted-cbc")
        assert code == 0
        assert [stage["name"] for stage in json.loads(told)["stages"]] == ["backbone", "pretrain", "head", "joint"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "schedule.warm_epoch=1"], ["unknown key 'schedule.warm_epoch'", "did you mean 'warm_epochs'"]),
        (["--set", "data.image_size=lots"], ["data.image_size"]),
        (["--set", "warm"], ["cannot read 'warm'", "key=value"]),
        (["-c", "planted-protopnt"], ["neither a preset nor a file", "did you mean 'planted-protopnet'"]),
        (["-c", "missing.yaml"], ["no configuration file missing.yaml"]),
        (["--set", "family=protopnett"], ["unknown family 'protopnett'", "did you mean 'protopnet'"]),
        (["-c", "a\udcff.yaml"], ["no configuration file a\\udcff.yaml"]),
        (["x" * 300], ["the system says: File name too long", "where: xxx"]),
    ],
)
def test_mistakes_in_the_configuration(cli, arguments, words):
    code, told, trouble = cli("train", *arguments, "--dry-run")
    assert (code, told) == (2, "")
    assert all(word in trouble for word in words), trouble


def test_train_refuses_a_missing_data_set(cli, tmp_path):
    code, _, trouble = cli("train", "-d", tmp_path / "nowhere", "-o", tmp_path / "run")
    assert code == 2
    assert "data set is missing" in trouble
    assert str(tmp_path / "nowhere") in trouble


class TestCheckpoints:
    def test_train_told_where_the_checkpoint_is(self, trained):
        out, told = trained
        assert told["checkpoint"] == str(out / "best")
        assert len(told["findings"]) >= 3
        assert len(told["metrics"]["projections"]) == 1
        assert run_log(out)[0]["stage"] == "warm"

    def test_used_folder_is_refused(self, cli, trained, planted, config_file):
        code, _, trouble = cli("train", "-c", config_file, "-d", planted, "-o", trained[0])
        assert code == 2
        assert "finished run" in trouble

    def test_evaluate_tells_the_accuracy_of_training(self, cli, trained, best, planted):
        code, told, _ = cli("evaluate", best, "-d", planted, "--json")
        result = json.loads(told)
        assert code == 0
        assert result["images"] == 8
        assert result["accuracy"] == trained[1]["metrics"]["test_accuracy"]
        assert set(result["by_class"]) == set(read_image_set(planted).classes)
        assert f"accuracy           {result['accuracy']:7.1%}" in cli("evaluate", best, "-d", planted)[1]

    def test_evaluate_refuses_other_classes(self, cli, best, class_folders):
        code, _, trouble = cli("evaluate", best, "-d", class_folders)
        assert code == 2
        assert "classes" in trouble

    def test_verify(self, cli, best, planted, tmp_path):
        code, told, _ = cli("verify", best, "--data", planted)
        assert code == 0, told
        assert told.count("passed") == 6
        assert "FAILED" not in told
        damaged = shutil.copytree(best, tmp_path / "damaged")
        content = bytearray((damaged / "model.safetensors").read_bytes())
        content[-5] ^= 1
        (damaged / "model.safetensors").write_bytes(content)
        code, told, _ = cli("verify", damaged, "--json")
        report = json.loads(told)
        assert (code, report["passed"]) == (1, False)
        assert "model.safetensors" in report["checks"][0]["detail"]

    def test_info_of_a_checkpoint(self, cli, best):
        code, told, _ = cli("info", best, "--json")
        content = json.loads(told)
        assert code == 0
        assert content["config"]["family"] == "protopnet"
        assert len(content["prototypes"]) == 8
        assert "--config" not in content["command"]
        assert content["command"].startswith("protoexplain train -c")
        told = cli("info", best)[1]
        assert "test_accuracy" in told
        assert not any(mark in told for mark in ("#", "\\_", "| ---")), "text, not its source"

    def test_info_lists_what_there_is(self, cli):
        code, told, _ = cli("info", "--json")
        content = json.loads(told)
        assert code == 0
        prototypes_of_classes = {"protopnet", "st_protopnet", "tesnet", "evalprotopnet", "protopool", "prototree"}
        families = {*prototypes_of_classes, "nonparametric", "cbc", "rbf_net", "pipnet", "prototypedl", "shallow_cbc"}
        assert families == set(content["families"])
        assert content["sources"] == ["cars", "cub", "dogs", "folder", "funnybirds", "shards", "table"]
        assert all(content["presets"].values())
        assert {"consistency", "stability", "deletion"} <= set(content["metrics"])
        assert "ProtoPNet" in cli("info")[1]

    def test_no_checkpoint(self, cli, tmp_path):
        for arguments in (["info", tmp_path], ["verify", tmp_path / "x"], ["explain", tmp_path, "a.png"]):
            code, _, trouble = cli(*arguments)
            assert code == 2
            assert "checkpoint" in trouble

    def test_prune_then_verify(self, cli, best, planted, tmp_path):
        out = tmp_path / "pruned"
        for threshold in range(6, 0, -1):  # the strictest that leaves any prototype
            code, told, trouble = cli(
                "prune", best, "-d", planted, "-o", out, "--threshold", threshold, "--epochs", 2, "--json"
            )
            if code == 0:
                break
            assert "every prototype" in trouble
        assert code == 0, trouble
        removed = json.loads(told)["metrics"]["prototypes_removed"]
        assert len(json.loads(cli("info", out, "--json")[1])["prototypes"]) == 8 - removed
        assert cli("verify", out, "--data", planted)[0] == 0

    def test_project_then_verify(self, cli, best, planted, tmp_path):
        out = tmp_path / "projected"
        code, told, trouble = cli("project", best, "-d", planted, "-o", out, "--epochs", 2)
        assert code == 0, trouble
        assert f"checkpoint: {out}" in told
        assert "test accuracy before" in told
        code, told, _ = cli("verify", out, "--data", planted)
        assert code == 0, told
        code, _, trouble = cli("project", best, "-d", planted, "-o", out)
        assert code == 2
        assert "exists" in trouble


class TestExplain:
    def test_two_images(self, cli, best, images, tmp_path):
        out = tmp_path / "explained"
        code, told, trouble = cli("explain", best, *images, "-o", out, "--classes", 2, "--rows", 3)
        assert code == 0, trouble
        content = json.loads((out / "explanation.json").read_text())
        assert [entry["path"] for entry in content["explanations"]] == [str(path) for path in images]
        for entry in content["explanations"]:
            assert entry["additive_error"] < 1e-4
            assert len(entry["classes"]) == 2
            assert all(len(shown["found"]) == 3 for shown in entry["classes"])
            for shown in entry["classes"]:
                parts = sum(m["presence"] for m in shown["found"]) + sum(m["absence"] for m in shown["missing"])
                assert parts + shown["remainder"] + shown["bias"] == pytest.approx(shown["score"], abs=1e-4)
            with Image.open(entry["picture"]) as picture:
                assert picture.format == "PNG"
                assert 800 <= picture.width <= 3000
                assert 400 <= picture.height <= 3000
            assert entry["picture"] in told

    def test_damaged_image_does_not_stop_the_others(self, cli, best, images, tmp_path):
        broken, out = tmp_path / "broken.jpg", tmp_path / "explained"
        broken.write_bytes(images[0].read_bytes()[:200])
        code, told, trouble = cli("explain", best, images[0], broken, images[1], "-o", out)
        assert code == 2
        assert "broken.jpg" in trouble
        assert "1 of 3 images could not be read" in trouble
        assert len([line for line in told.splitlines() if "see " in line]) == 2
        assert len(json.loads((out / "explanation.json").read_text())["explanations"]) == 2
        assert len(list(out.glob("*.png"))) == 2

    def test_only_damaged_images(self, cli, best, tmp_path):
        broken = tmp_path / "broken.jpg"
        broken.write_bytes(b"text")
        code, told, trouble = cli("explain", best, broken, "-o", tmp_path / "explained")
        assert (code, told) == (2, "")
        assert "broken.jpg" in trouble

    def test_equal_names_get_their_own_pictures(self, cli, best, images, tmp_path):
        for folder, image in zip("ab", images, strict=True):
            (tmp_path / folder).mkdir()
            shutil.copy(image, tmp_path / folder / "x.jpg")
        out = tmp_path / "explained"
        code, told, _ = cli("explain", best, tmp_path / "a/x.jpg", tmp_path / "b/x.jpg", "-o", out, "--json")
        assert code == 0
        pictures = [entry["picture"] for entry in json.loads(told)["explanations"]]
        assert len(set(pictures)) == 2
        assert len({Path(path).read_bytes() for path in pictures}) == 2


def test_configuration_of_the_run_is_kept_with_its_data_and_that_of_the_checkpoint_without(trained, planted):
    config = tiny_config("protopnet", schedule={"lr_head": 0.01}).model_dump(mode="json")
    kept = yaml.safe_load((trained[0] / "best" / "config.yaml").read_text())
    assert kept == config
    kept = yaml.safe_load((trained[0] / "config.yaml").read_text())
    assert kept == {**config, "data": {**config["data"], "path": str(planted)}}
