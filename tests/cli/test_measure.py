"""`measure` and `compare` as commands: output in every format, what is written, and mistakes in three lines."""

import csv
import io
import json
import shutil
import signal
import time
from pathlib import Path

import pytest
from forked import start_command
from metrics.measured_checkpoints import keep_checkpoint

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.errors import UserError
from protoexplain.metrics.runner import measure
from protoexplain.training.verify import verify

QUICK = ("--set", "draws=1", "--set", "resamples=100", "--set", "steps=2")


@pytest.fixture(scope="module")
def folder(planted, tmp_path_factory):
    """Three checkpoints: two ProtoPNets with other weights, and a CBC."""
    out = tmp_path_factory.mktemp("cli")
    keep_checkpoint("protopnet", planted, out / "one")
    keep_checkpoint("protopnet", planted, out / "two", seed=1)
    keep_checkpoint("cbc", planted, out / "cbc")
    return out


class TestMeasure:
    def test_all_metrics(self, cli, folder, planted):
        """All metrics that the data allow; results are in the checkpoint, which still proves itself."""
        code, out, err = cli("measure", folder / "one", "-d", planted, *QUICK, "--json")
        assert code == 0, err
        told = json.loads(out)
        assert {"consistency", "stability", "purity", "deletion", "projection_gap"} <= set(told)
        assert "left out: foreign_accepted needs images" in err
        checkpoint = Checkpoint.load(folder / "one")
        assert checkpoint.metrics["interpretability"] == told
        assert verify(checkpoint).passed
        assert not list(folder.glob(".*.measuring"))

    @pytest.mark.slow
    def test_killed_and_started_again(self, cli, folder, planted, tmp_path):
        """kill -9 in the middle of the passes; the same command then gives what an undisturbed one gives."""
        path, work = folder / "cbc", folder / ".cbc.measuring"
        command = ["measure", path, "-d", planted, *QUICK, "--set", "batch_size=1", "--json"]
        first = start_command(*command, folder=tmp_path)
        while len(list(work.rglob("*.safetensors"))) < 20:
            assert first.process.is_alive()
            time.sleep(0.02)
        first.process.kill()
        assert first.ended()[0] == -signal.SIGKILL
        assert "interpretability" not in Checkpoint.load(path).metrics
        code, out, err = cli(*command)
        assert code == 0, err
        assert f"taken over from a process that ended without finishing: process {first.process.pid} on" in err
        again = measure(path, planted, None, {"draws": 1, "resamples": 100, "steps": 2, "batch_size": 1})
        assert json.loads(out) == json.loads(json.dumps({name: r.to_dict() for name, r in again.items()}))
        assert not work.exists()

    def test_text(self, cli, folder, planted):
        code, out, _ = cli("measure", folder / "two", "-d", planted, "-m", "consistency, augmentation-sta*", *QUICK)
        assert code == 0
        assert "Consistency (%)" in out
        assert "centre peak" in out
        assert "Augmentation stability" in out
        assert "High is good" in out

    @pytest.mark.parametrize("form", ["csv", "latex", "json"])
    def test_formats_into_files(self, form, cli, folder, planted, tmp_path):
        target = tmp_path / "table.txt"
        code, out, _ = cli(
            "measure", folder / "two", "-d", planted, "-m", "accuracy,stability", "-f", form, "-o", target, *QUICK
        )
        assert (code, out) == (0, f"written: {target}\n")
        text = target.read_text()
        if form == "csv":
            rows = list(csv.DictReader(io.StringIO(text)))
            assert [row["metric"] for row in rows] == ["accuracy", "stability"]
            assert 0 <= float(rows[0]["value"]) <= 1
        elif form == "latex":
            assert text.startswith(r"\begin{tabular}{lr}")
        else:
            assert set(json.loads(text)) == {"accuracy", "stability"}

    def test_plots_and_settings(self, cli, folder, planted, tmp_path):
        code, out, _ = cli(
            "measure", folder / "two", "-d", planted, "-m", "consistency", "--plots", tmp_path / "plots", "--images", 1,
            "-s", "consistency.threshold=0.5", "-s", "half_window=9", "--json",
        )  # fmt: skip
        assert code == 0
        settings = json.loads(out)["consistency"]["settings"]
        assert (settings["threshold"], settings["half_window"], settings["images_per_class"]) == (0.5, 9, 1)
        assert [path.name for path in (tmp_path / "plots").iterdir()] == ["consistency.png"]

    def test_foreign_images(self, cli, folder, planted, class_folders):
        code, out, _ = cli(
            "measure", folder / "two", "-d", planted, "-m", "foreign_accepted", "--foreign", class_folders, "--json"
        )
        assert code == 0
        found = json.loads(out)["foreign_accepted"]
        assert 0 <= found["value"] <= 1
        assert found["details"]["foreign_images"] > 0

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("-m", "consistancy"), "unknown metric 'consistancy'"),
            (("-m", "foreign_accepted"), "needs images of things that the model does not know"),
            (("-m", "accuracy", "-s", "draws=0"), "draws"),
            (("-m", "accuracy", "-s", "draws"), "cannot read 'draws'"),
        ],
    )
    def test_mistakes(self, arguments, words, cli, folder, planted):
        code, out, err = cli("measure", folder / "two", "-d", planted, *arguments)
        assert (code, out) == (2, "")
        assert words in err
        assert len(err.strip().splitlines()) <= 3

    def test_no_such_checkpoint(self, cli, planted, tmp_path):
        code, _, err = cli("measure", tmp_path / "nothing", "-d", planted)
        assert code == 2
        assert "no such checkpoint" in err


@pytest.fixture
def full_disk(monkeypatch):
    """Let nothing be added to a checkpoint any more, once the work is done; other folders have room."""
    from protoexplain.checkpoint import measurements

    write = measurements.write_file

    def refuse(path, content):
        if path.parent.name == "measurements":
            raise UserError("the disk is full: needs at least 0.1 MB, 0.0 MB free", str(path), "make room")
        write(path, content)

    monkeypatch.setattr(measurements, "write_file", refuse)


@pytest.fixture
def read_only(folder, tmp_path):
    """A checkpoint that takes no results, since there is a file in the place of their folder."""
    path = shutil.copytree(folder / "two", tmp_path / "closed", ignore=shutil.ignore_patterns("measurements"))
    (path / "measurements").touch()
    return path


class TestPlaceForResults:
    """It is made sure of before the work; and what cannot be written after all is not lost."""

    @pytest.mark.parametrize("command", ["measure", "characteristics", "compare"])
    def test_is_refused_before_the_work(self, command, cli, folder, read_only, planted, monkeypatch):
        def work(*arguments, **options):
            raise AssertionError("the work has begun")

        monkeypatch.setattr("protoexplain.metrics.runner.read_test_images", work)
        monkeypatch.setattr("protoexplain.data.dataset_view.matching_view", work)
        paths = [folder / "one", read_only] if command == "compare" else [read_only]
        code, out, err = cli(command, *paths, "-d", planted)
        assert (code, out) == (2, "")
        assert "the results could not be added to the checkpoint" in err
        assert f"where: {read_only / 'measurements'}" in err
        assert "--copy-to FOLDER" in err

    def test_beside_the_checkpoint_is_needed_for_what_is_interrupted(self, cli, folder, planted, monkeypatch):
        monkeypatch.setattr("protoexplain.cli.results.work_folder", lambda checkpoint: Path("/proc/nothing/work"))
        code, _, err = cli("measure", folder / "two", "-d", planted, "-m", "accuracy")
        assert (code, "the results could not be added" in err, "--copy-to" in err) == (2, True, True)

    def test_copy_takes_the_results_and_is_found_by_compare(self, cli, folder, read_only, planted, tmp_path):
        copy, command = tmp_path / "copy", ("-d", planted, "-m", "accuracy", *QUICK, "--json")
        for _ in range(2):
            code, out, _ = cli("measure", read_only, "--copy-to", copy, *command)
            assert code == 0
        assert Checkpoint.load(copy).metrics["interpretability"] == json.loads(out)
        assert (read_only / "measurements").is_file()
        assert cli("measure", folder / "one", *command)[0] == 0
        code, out, _ = cli("compare", copy, folder / "one", "-m", "accuracy", "--json")
        assert code == 0
        assert set(json.loads(out)["models"]) == {"copy", "one"}
        code, _, err = cli("measure", folder / "one", "--copy-to", copy, *command)
        assert (code, "no copy of" in err) == (2, True)

    def test_full_disk_after_the_work(self, cli, folder, planted, full_disk, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        path = shutil.copytree(folder / "two", tmp_path / "two", ignore=shutil.ignore_patterns("measurements"))
        code, out, err = cli("measure", path, "-d", planted, "-m", "accuracy", *QUICK, "--json")
        assert code == 2
        assert "the disk is full" in err
        place = tmp_path / "cache" / "protoexplain" / "results" / Checkpoint.load(path).weights_sha256[:32]
        assert f"they are in {place}" in err
        shutil.copytree(place, path / "measurements", dirs_exist_ok=True)
        assert Checkpoint.load(path).metrics["interpretability"] == json.loads(out)

    def test_full_disk_and_no_cache(self, cli, folder, planted, full_disk, tmp_path, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        path = shutil.copytree(folder / "two", tmp_path / "two", ignore=shutil.ignore_patterns("measurements"))
        code, out, err = cli("measure", path, "-d", planted, "-m", "accuracy", *QUICK)
        assert (code, "Accuracy" in out) == (2, True)
        (file,) = tmp_path.glob("protoexplain-*/interpretability.accuracy.json")
        assert f"they are in {file.parent}:" in err

    def test_no_place_at_all(self, cli, folder, planted, full_disk, tmp_path, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        monkeypatch.setattr("tempfile.mkdtemp", lambda prefix: str(tmp_path / "file" / "x"))
        path = shutil.copytree(folder / "two", tmp_path / "two", ignore=shutil.ignore_patterns("measurements"))
        code, out, err = cli("measure", path, "-d", planted, "-m", "accuracy", *QUICK, "-o", tmp_path / "file" / "y")
        assert (code, "Accuracy" in out) == (2, True)
        assert "what is printed is all there is" in err

    def test_results_are_kept_even_if_they_cannot_be_printed(self, cli, folder, planted, tmp_path):
        (tmp_path / "file").touch()
        path = shutil.copytree(folder / "two", tmp_path / "two", ignore=shutil.ignore_patterns("measurements"))
        code, _, err = cli("measure", path, "-d", planted, "-m", "accuracy", *QUICK, "-o", tmp_path / "file" / "table")
        assert (code, "cannot write" in err) == (2, True)
        assert set(Checkpoint.load(path).metrics["interpretability"]) == {"accuracy"}

    def test_checkpoint_in_the_working_folder(self, cli, folder, planted, tmp_path, monkeypatch):
        path = shutil.copytree(folder / "two", tmp_path / "two", ignore=shutil.ignore_patterns("measurements"))
        monkeypatch.chdir(path)
        assert cli("measure", ".", "-d", planted, "-m", "accuracy", *QUICK)[0] == 0
        assert set(Checkpoint.load(path).metrics["interpretability"]) == {"accuracy"}


class TestCompare:
    def test_measures_what_is_missing_and_says_what_differs(self, cli, folder, planted, tmp_path):
        every = [folder / name for name in ("one", "two", "cbc")]
        code, out, _ = cli(
            "compare", *every, "-d", planted, "-m", "accuracy,consistency", *QUICK, "--plots", tmp_path / "plots"
        )
        assert code == 0
        assert said(out, "one", "two", "cbc", "paired by image", "paired by class", "unpaired")
        assert "would leave 0 out by chance alone" in out
        assert {path.name for path in (tmp_path / "plots").iterdir()} == {"accuracy.png", "consistency.png"}
        code, again, _ = cli("compare", *every, "-m", "accuracy,consistency")
        assert code == 0
        assert again == out, "what was measured is in the checkpoints"
        code, told, _ = cli("compare", *every[:2], "-m", "accuracy", "--json")
        content = json.loads(told)
        assert set(content["models"]) == {"one", "two"}
        assert content["differences"][0]["pairing"] == "images"
        assert content["differences"][0]["sentence"] in out
        code, table, _ = cli("compare", *every, "-m", "accuracy", "-f", "csv")
        assert len(list(csv.DictReader(io.StringIO(table)))) == 3 + 3
        code, table, _ = cli("compare", *every, "-m", "accuracy", "-f", "latex")
        assert "one & two & cbc" in table

    def test_mistakes(self, cli, folder, planted, tmp_path):
        code, _, err = cli("compare", folder / "one")
        assert (code, "cannot be compared" in err) == (2, True)
        code, _, err = cli("compare", folder / "one", folder / "one")
        assert (code, "given twice" in err) == (2, True)
        keep_checkpoint("cbc", planted, tmp_path / "fresh")
        code, _, err = cli("compare", tmp_path / "fresh", folder / "one")
        assert (code, "nothing was measured of fresh" in err) == (2, True)
        assert "add --data" in err


def said(text, *words):
    missing = [word for word in words if word not in text]
    assert missing == []
    return True
