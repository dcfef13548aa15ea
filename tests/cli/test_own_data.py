"""From a folder of one's own to its model in the app, without naming anything else."""

import json
import os
import shutil
from importlib.metadata import EntryPoint

import pytest
from rich.progress import Progress
from tiny_runs import tiny_config

from protoexplain import registry
from protoexplain.checkpoint.folders import shipped_checkpoints
from protoexplain.cli.output import ProgressWatcher
from protoexplain.config import resolve
from protoexplain.data.read import read_image_set
from protoexplain.training import run as training_run
from protoexplain.training.callbacks import Interrupted
from protoexplain.training.run_folder import CONFIG, DATA, described, remembered


def presets(told):
    return json.loads(told)["about"]


class TestTrain:
    def test_any_folder_gets_the_preset_for_any_folder(self, cli, class_folders, tmp_path):
        given = [cli("train", *words, "--dry-run", "--json") for words in ([class_folders], ["-d", class_folders])]
        assert given[0] == given[1]
        assert "any folder of images" in presets(given[0][1])
        assert "planted birds" in presets(cli("train", "--dry-run", "--json")[1])
        named = cli("train", class_folders, "-c", "planted-cbc", "--dry-run", "--json")
        assert json.loads(named[1])["family"] == "cbc"

    def test_a_folder_is_given_once(self, cli, class_folders):
        code, _, trouble = cli("train", class_folders, "--data", class_folders, "--dry-run")
        assert code == 2
        assert "given twice" in trouble

    def test_epochs_and_minutes(self, cli, class_folders):
        code, told, trouble = cli("train", class_folders, "--epochs", 5, "--dry-run")
        assert code == 0, trouble
        assert "#   backbone: 4 epochs" in told
        assert "#   last layer: 10 epochs" in told
        assert "# 17 images of 3 classes: 4 only test the model (a fifth of each class, by data.split_seed 0)" in told
        code, told, trouble = cli("train", class_folders, "--minutes", 5, "--dry-run")
        assert "fit into 5 minutes is measured when the training begins" in told
        code, told, trouble = cli("train", class_folders, "--epochs", 5, "--minutes", 5)
        assert (code, told) == (2, "")
        assert "both epochs and minutes" in trouble
        code, told, trouble = cli("train", class_folders, "--epochs", 1, "--dry-run")
        assert (code, told) == (2, "")
        assert "give at least 2" in trouble

    def test_a_dry_run_and_a_check_refuse_the_same_folders(self, cli, tmp_path, picture):
        picture(tmp_path / "daisy" / "a.png")
        for words in (("train", tmp_path, "--dry-run"), ("data", "check", tmp_path)):
            code, told, trouble = cli(*words)
            assert (code, told) == (2, "")
            assert "only one class was found, 'daisy'; at least two are needed" in trouble

    def test_a_dry_run_refuses_to_go_on_with_other_settings(self, cli, class_folders, tmp_path):
        (tmp_path / CONFIG).write_text(remembered(tiny_config("protopnet"), class_folders))
        code, told, trouble = cli("train", "-c", "quick-protopnet", "-o", tmp_path, "--resume", "--dry-run")
        assert (code, told) == (2, "")
        assert "data.image_size was 64 and is 160" in trouble

    def test_a_dry_run_refuses_to_go_on_with_other_data(self, cli, class_folders, picture, tmp_path):
        given = ("train", class_folders, "-o", tmp_path, "--resume", "--dry-run")
        (tmp_path / CONFIG).write_text(remembered(resolve("quick-protopnet", ["training.threads=3"]), class_folders))
        (tmp_path / DATA).write_text(described(read_image_set(class_folders)))
        code, told, trouble = cli(*given)
        assert (code, "threads: 3" in told) == (0, True), trouble
        picture(class_folders / "tulip" / "new.png", 99)
        code, told, trouble = cli(*given)
        assert (code, told) == (2, "")
        assert "data.images was 17 and is 18" in trouble

    def test_the_folder_of_a_run_is_no_data_set_but_can_go_on(self, cli, class_folders, tmp_path):
        run = tmp_path / "my run"
        run.mkdir()
        (run / CONFIG).write_text(remembered(tiny_config("protopnet", training={"epochs": 9}), class_folders))
        (run / DATA).write_text(described(read_image_set(class_folders)))
        code, told, trouble = cli("train", run)
        assert (code, told) == (2, "")
        assert "the folder of an interrupted run, not a data set" in trouble
        assert f"go on with: protoexplain train --resume '{run}'" in trouble
        for given in ((run,), ("-o", run), (run, "-o", run, "-s", "data.workers=2"), (run, "--minutes", 3)):
            code, told, trouble = cli("train", "--resume", *given, "--dry-run")
            assert (code, trouble) == (0, "")
            assert "image_size: 64" in told
            assert "epochs: 9" in told
            assert "# 17 images of 3 classes" in told
        for given, words in (
            ((run, "-s", "training.seed=7"), "training.seed was 0 and is 7"),
            ((run, "-o", tmp_path), "a run was given twice"),
        ):
            code, told, trouble = cli("train", "--resume", *given, "--dry-run")
            assert (code, told) == (2, "")
            assert words in trouble
        (run / "best").mkdir()
        assert f"see it with: protoexplain app '{run}'" in cli("train", run)[2]
        trouble = cli("train", "--resume", run)[2]
        assert "the folder holds a finished run" in trouble
        assert f"see it with: protoexplain app '{run}'" in trouble

    @pytest.mark.parametrize(("nodes", "by"), [(1, ""), (2, ", by torchrun or srun on 2 computers as before,")])
    def test_how_an_interrupted_run_goes_on(self, cli, class_folders, tmp_path, monkeypatch, nodes, by):
        def stopped(*_, **__):
            raise Interrupted

        launcher = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": str(nodes), "LOCAL_WORLD_SIZE": "1"}
        for name, value in launcher.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(training_run, "train", stopped)
        _, told, trouble = cli("train", class_folders, "-o", tmp_path / "run")
        line = f"stopped; go on{by} with: protoexplain train --resume {tmp_path / 'run'}"
        assert told.splitlines()[-1] == line, trouble


class TestApp:
    @pytest.fixture
    def served(self, monkeypatch):
        """What the app was started with."""
        calls = []
        monkeypatch.setattr(EntryPoint, "load", lambda point: lambda *given, **named: calls.append(given[:2]))
        point = EntryPoint("mine", "nowhere:serve", "protoexplain.app")
        monkeypatch.setattr(registry, "entry_points", lambda group: [point])
        return calls

    @pytest.fixture
    def runs(self, class_folders, tmp_path, monkeypatch):
        """Two runs, the second newer and trained on the class folders."""
        monkeypatch.chdir(tmp_path)
        for age, (name, data) in enumerate({"old": tmp_path, "new": class_folders}.items()):
            run = tmp_path / "runs" / name
            shutil.copytree(shipped_checkpoints() / "planted-cbc", run / "best")
            (run / CONFIG).write_text(remembered(tiny_config("protopnet"), data))
            os.utime(run, (age, age))
        return tmp_path / "runs"

    def test_a_run_knows_its_data(self, cli, served, runs, class_folders):
        code, told, trouble = cli("app", runs / "new")
        assert code == 0, trouble
        assert served == [(runs / "new", class_folders)]
        assert str(class_folders) in told

    def test_the_newest_of_several(self, cli, served, runs, class_folders):
        assert cli("app", runs)[0] == 0
        assert served == [(runs / "new", class_folders)]

    def test_a_data_set_leads_to_its_run(self, cli, served, runs, class_folders):
        assert cli("app", class_folders)[0] == 0
        ((checkpoints, data),) = served
        assert (checkpoints.resolve(), data) == (runs / "new", class_folders)

    def test_checkpoints_elsewhere_and_data_that_were_named(self, cli, served, class_folders):
        place = shipped_checkpoints() / "planted-cbc"
        assert cli("app", place, "-d", class_folders)[0] == 0
        assert served == [(place, class_folders)]

    def test_nothing_to_open(self, cli, served, class_folders, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        code, _, trouble = cli("app", class_folders)
        assert (code, served) == (2, [])
        assert f"protoexplain train {class_folders}" in trouble
        assert "no such folder" in cli("app", tmp_path / "nowhere")[2]


def test_on_a_pipe_a_line_a_minute_tells_how_far_it_is(monkeypatch):
    now, lines = [0.0], []
    watcher = ProgressWatcher(Progress(disable=True), clock=lambda: now[0])
    monkeypatch.setattr(watcher, "line", lines.append)
    for second in range(0, 151, 10):
        now[0] = second
        if second > 60:
            watcher.left(600 - second)
        watcher.progress("joint 2/5", second, 151)
    assert lines == ["joint 2/5: 60 of 151", "joint 2/5: 120 of 151, about 8 min left in all"]


def test_bars_show_the_time_that_is_left_of_all(monkeypatch):
    progress = Progress()
    watcher = ProgressWatcher(progress)
    watcher.left(130)
    watcher.progress("joint 2/5", 1, 10)
    assert progress.tasks[0].fields["left"] == ", about 2 min left in all"
