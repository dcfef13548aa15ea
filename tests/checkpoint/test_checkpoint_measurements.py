"""What is measured of a saved checkpoint lies beside it: readers find it whole at any moment, writers lose nothing."""

import json
import logging
import os
import shutil
import threading

import pytest
from saved_checkpoints import built, refused, reseal, save
from write_steps import contents, killed_at, watch_steps

from protoexplain.checkpoint import checkpoint as checkpoints
from protoexplain.checkpoint.checkpoint import Checkpoint, add_metrics
from protoexplain.checkpoint.folders import find_checkpoints
from protoexplain.errors import UserError

OLD = {"interpretability": {"consistency": {"value": 40.0}, "purity": {"value": 0.5}}}
NEW = {
    "interpretability": {"consistency": {"value": 50.0}},
    "characteristics": {"train": {"hue": [1.0]}, "train pairs": []},
}
BOTH = {
    "interpretability": {"consistency": {"value": 50.0}, "purity": {"value": 0.5}},
    "characteristics": {"train": {"hue": [1.0]}, "train pairs": []},
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save(tmp_path_factory.mktemp("saved") / "best", *built("protopnet")).path


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "runs" / "best")


def measured(folder):
    """What a reader finds, who verifies all files."""
    metrics = Checkpoint.load(folder).metrics
    return {name: metrics[name] for name in BOTH if name in metrics}


def file_of(folder, name):
    return folder / "measurements" / f"{name}.json"


def put(folder, name, **content):
    """A file of a measurement, whose content may be wrong."""
    content = {
        "format": 1,
        "weights_sha256": Checkpoint.load(folder).weights_sha256,
        "value": {"value": 1.0},
        **content,
    }
    file_of(folder, name).parent.mkdir(exist_ok=True)
    file_of(folder, name).write_text(json.dumps(content))


class TestReaders:
    def test_find_the_checkpoint_at_every_step(self, folder, tmp_path, monkeypatch):
        """Before and after each change of names: the checkpoint is there, whole, and each measurement old or new."""
        add_metrics(folder, OLD)
        seen = []

        def look():
            assert find_checkpoints(tmp_path) == [folder]
            seen.append(measured(folder)["interpretability"])

        watch_steps(monkeypatch, look)
        add_metrics(folder, NEW)
        assert {entry["consistency"]["value"] for entry in seen} == {40.0, 50.0}
        assert all(entry["purity"] == {"value": 0.5} for entry in seen)
        assert measured(folder) == BOTH

    def test_find_the_checkpoint_at_any_moment(self, folder, tmp_path):
        """A thread looks as fast as it can."""
        stop, troubles, looks = threading.Event(), [], []

        def reader():
            while not stop.is_set():
                try:
                    assert find_checkpoints(tmp_path) == [folder]
                    looks.append(Checkpoint.load(folder, verify=False).metrics)
                except (AssertionError, UserError, OSError) as error:
                    troubles.append(error)

        thread = threading.Thread(target=reader)
        thread.start()
        for value in range(20):
            add_metrics(folder, {"interpretability": {"consistency": {"value": value}}})
        stop.set()
        thread.join()
        assert troubles == []
        assert looks

    def test_find_it_after_the_writer_was_killed_at_any_step(self, folder, tmp_path):
        add_metrics(folder, OLD)
        content, steps = contents(folder), 0
        while True:
            shutil.rmtree(folder)
            for name, data in content.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
            steps += 1
            with killed_at(steps) as death:
                add_metrics(folder, NEW)
            if not death:
                break
            assert find_checkpoints(tmp_path) == [folder]
            found = measured(folder)["interpretability"]
            assert found["purity"] == {"value": 0.5}
            assert found["consistency"] in ({"value": 40.0}, {"value": 50.0})
            add_metrics(folder, NEW)
            assert measured(folder) == BOTH
            assert not [path.name for path in (folder / "measurements").iterdir() if "tmp" in path.name]
        assert steps > 4, "four files are written"


class TestWriters:
    def test_of_different_things_lose_nothing(self, folder):
        """Each was loaded before the others wrote."""
        loaded = Checkpoint.load(folder)

        def write(number):
            add_metrics(loaded, {"interpretability": {f"metric_{number}": {"value": number}}})

        threads = [threading.Thread(target=write, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expected = {f"metric_{number}": {"value": number} for number in range(12)}
        assert measured(folder)["interpretability"] == expected
        card = (folder / "measurements" / "README.md").read_text()
        assert all(f"| metric\\_{number} |" in card for number in range(12)), "the last card has them all"

    def test_card_of_a_slower_writer_tells_what_a_faster_one_added(self, folder, monkeypatch):
        make = checkpoints.measurements_card

        def overtaken(metrics, weights):
            monkeypatch.setattr(checkpoints, "measurements_card", make)
            card = make(metrics, weights)
            add_metrics(folder, {"interpretability": {"purity": {"value": 0.5}}})
            return card

        monkeypatch.setattr(checkpoints, "measurements_card", overtaken)
        after = add_metrics(folder, {"interpretability": {"consistency": {"value": 40.0}}})
        card = (folder / "measurements" / "README.md").read_text()
        assert "| consistency | 40 |" in card
        assert "| purity | 0.5 |" in card
        assert after.metrics["interpretability"] == OLD["interpretability"]

    def test_what_was_only_taken_over_does_not_replace_newer_results(self, folder):
        add_metrics(folder, OLD)
        loaded = Checkpoint.load(folder)
        add_metrics(folder, {"interpretability": {"consistency": {"value": 50.0}}})
        taken_over = {**loaded.metrics["interpretability"], "stability": {"value": 3.0}}
        add_metrics(loaded, {"interpretability": taken_over})
        assert measured(folder)["interpretability"] == {**BOTH["interpretability"], "stability": {"value": 3.0}}

    def test_of_other_weights_are_refused(self, folder, tmp_path):
        loaded = Checkpoint.load(folder)
        shutil.rmtree(folder)
        save(folder, *built("protopnet", seed=1))
        assert "changed meanwhile" in refused(lambda: add_metrics(loaded, OLD))
        assert measured(folder) == {}

    def test_a_name_that_is_no_name(self, folder):
        with pytest.raises(ValueError, match="cannot be named"):
            add_metrics(folder, {"interpretability": {"../../x": 1}})

    def test_a_full_disk_keeps_what_was_there(self, folder, monkeypatch):
        from protoexplain.io import atomic

        add_metrics(folder, OLD)
        monkeypatch.setattr(atomic, "_writes", iter([1]))
        monkeypatch.setenv("PROTOEXPLAIN_FAULT", "write:1")
        assert "disk is full" in refused(lambda: add_metrics(folder, NEW))
        assert measured(folder) == OLD


BROKEN = {
    "no json": lambda f: file_of(f, "interpretability.purity").write_text("{"),
    "empty": lambda f: file_of(f, "interpretability.purity").write_text(""),
    "no table": lambda f: file_of(f, "interpretability.purity").write_text("[1]"),
    "no number": lambda f: file_of(f, "interpretability.purity").write_text('{"value": NaN}'),
    "deep": lambda f: file_of(f, "interpretability.purity").write_text("[" * 100_000),
    "binary": lambda f: file_of(f, "interpretability.purity").write_bytes(b"\x80\x04\x95"),
    "other weights": lambda f: put(f, "interpretability.purity", weights_sha256="0" * 64),
    "newer format": lambda f: put(f, "interpretability.purity", format=2),
    "a copy by a browser": lambda f: put(f, "interpretability.purity (1)"),
    "a folder": lambda f: file_of(f, "interpretability.purity").mkdir(),
    "a pipe": lambda f: os.mkfifo(file_of(f, "interpretability.purity")),
    "dangling": lambda f: file_of(f, "interpretability.purity").symlink_to("nowhere"),
}


class TestFiles:
    def test_are_named_after_what_they_hold_and_move_with_the_folder(self, folder, tmp_path):
        add_metrics(folder, NEW)
        names = ["README.md", "characteristics.train pairs.json", "characteristics.train.json"]
        assert sorted(os.listdir(folder / "measurements")) == [*names, "interpretability.consistency.json"]
        content = json.loads(file_of(folder, "interpretability.consistency").read_text())
        assert content["weights_sha256"] == Checkpoint.load(folder).weights_sha256
        assert content["value"] == {"value": 50.0}
        assert measured(shutil.copytree(folder, tmp_path / "elsewhere")) == NEW

    @pytest.mark.parametrize("name", BROKEN)
    def test_that_do_not_count_are_ignored_and_named(self, name, folder, caplog):
        add_metrics(folder, NEW)
        BROKEN[name](folder)
        with caplog.at_level(logging.WARNING):
            assert measured(folder) == NEW
        (notice,) = [record.getMessage() for record in caplog.records]
        assert str(folder / "measurements" / "interpretability.purity") in notice
        assert "\n" not in notice

    def test_without_a_value(self, folder, caplog):
        put(folder, "interpretability.purity")
        content = json.loads(file_of(folder, "interpretability.purity").read_text())
        del content["value"]
        file_of(folder, "interpretability.purity").write_text(json.dumps(content))
        assert measured(folder) == {}
        assert "holds no value" in caplog.text

    def test_a_file_in_place_of_the_folder(self, folder, caplog):
        (folder / "measurements").write_text("x")
        assert measured(folder) == {}
        assert str(folder / "measurements") in caplog.text
        assert "measurements" in refused(lambda: Checkpoint.load(folder).require_writable())

    def test_unfinished_ones_are_passed_over(self, folder, caplog):
        put(folder, "interpretability.purity")
        file = file_of(folder, "interpretability.purity")
        file.rename(f"{file}.tmp-1-0a1b")
        assert measured(folder) == {}
        assert caplog.text == ""


class TestOldCheckpoints:
    """Measurements were once inside the manifest."""

    @pytest.fixture
    def old(self, folder):
        metrics = json.loads((folder / "metrics.json").read_text())
        (folder / "metrics.json").write_text(json.dumps({**metrics, **OLD}))
        reseal(folder)
        return folder

    def test_count_until_there_are_newer_ones(self, old):
        assert measured(old) == OLD
        after = add_metrics(old, NEW)
        assert measured(old) == BOTH
        assert after.metrics["test_accuracy"] == 0.75
        card = (old / "measurements" / "README.md").read_text()
        assert "| consistency | 50 |" in card
        assert "| purity | 0.5 |" in card


class TestCopies:
    def test_hold_all_and_are_taken_again(self, folder, tmp_path):
        add_metrics(folder, OLD)
        loaded = Checkpoint.load(folder)
        copy = loaded.copied(tmp_path / "copy")
        assert (copy.path, copy.sha256, copy.metrics) == (tmp_path / "copy", loaded.sha256, loaded.metrics)
        add_metrics(copy, NEW)
        assert loaded.copied(tmp_path / "copy").metrics["interpretability"] == BOTH["interpretability"]
        assert measured(folder) == OLD

    def test_something_else_is_kept(self, folder, tmp_path):
        other = save(tmp_path / "other", *built("protopnet", seed=1))
        before = contents(tmp_path)
        assert "no copy" in refused(lambda: Checkpoint.load(folder).copied(other.path))
        (tmp_path / "empty").mkdir()
        assert "no checkpoint" in refused(lambda: Checkpoint.load(folder).copied(tmp_path / "empty"))
        assert contents(tmp_path) == before


def test_a_folder_that_cannot_be_read_is_told(folder, monkeypatch):
    """Root may read everything, so that the refusal is played."""

    def refuse(*_):
        raise PermissionError(13, "Permission denied", str(folder / "config.yaml"))

    monkeypatch.setattr(checkpoints, "verify_folder", refuse)
    assert "cannot be read: Permission denied" in refused(lambda: Checkpoint.load(folder))


def test_folders_that_cannot_be_listed_are_passed_over_and_told(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "runs" / "gone")
    real, told = os.scandir, []

    def scandir(path):
        if str(path).endswith("gone"):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert find_checkpoints(tmp_path, told.append) == [folder]
    assert [error.filename for error in told] == [str(tmp_path / "runs" / "gone")]
