"""`measure` and `compare` as commands: output in every format, what is written, and mistakes in three lines."""

import csv
import io
import json
import subprocess
import sys

import pytest
from metrics.measured_checkpoints import keep_checkpoint

from protoexplain.io.checkpoint import Checkpoint
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
    def test_as_a_process(self, folder, planted):
        """All metrics that the data allow; results are in the checkpoint, which still proves itself."""
        command = ["-m", "protoexplain", "measure", folder / "one", "-d", planted, *QUICK, "--json"]
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert {"consistency", "stability", "purity", "deletion", "projection_gap"} <= set(told)
        assert "left out: foreign_accepted needs images" in done.stderr
        checkpoint = Checkpoint.load(folder / "one")
        assert checkpoint.metrics["interpretability"] == told
        assert verify(checkpoint).passed
        assert not list(folder.glob(".*.measuring"))

    def test_text(self, cli, folder, planted):
        code, out, _ = cli(
            "measure", folder / "two", "-d", planted, "-m", "consistency, augmentation-stability", *QUICK
        )
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
