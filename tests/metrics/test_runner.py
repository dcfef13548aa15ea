"""Measuring whole checkpoints: shared passes, any batch size, going on after an interruption, what data lack."""

import json
import math

import pytest
import torch
from filelock import FileLock
from metrics.measured_checkpoints import RecordingWatcher, keep_checkpoint

from protoexplain.checkpoint.checkpoint import add_metrics
from protoexplain.data.dataset_view import view_of
from protoexplain.data.read import read_image_set
from protoexplain.errors import UserError
from protoexplain.metrics.cached_results import cached_results, distinct_names
from protoexplain.metrics.observe.images import read_test_images, sample_training_images
from protoexplain.metrics.observe.observer import before_projection
from protoexplain.metrics.registry import get_metric, list_metrics
from protoexplain.metrics.runner import measure
from protoexplain.models.backbones import Backbone
from protoexplain.models.registry import family_names

QUICK = {"steps": 3, "draws": 2, "resamples": 100, "part_rules": ["maps"], "attack": {"steps": 2}}
CHEAP = ["consistency", "stability", "accuracy", "purity", "pointing_game"]


@pytest.fixture(scope="module")
def checkpoints(planted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured")
    return {family: keep_checkpoint(family, planted, folder / family) for family in family_names()}


@pytest.fixture
def forwarded(monkeypatch):
    """Sizes of the batches that went through backbones."""
    observed = []
    forward = Backbone.forward
    monkeypatch.setattr(
        Backbone, "forward", lambda self, images: (observed.append(len(images)), forward(self, images))[1]
    )
    return observed


@pytest.mark.parametrize("family", family_names())
def test_every_metric_of_every_family(family, checkpoints, planted):
    watcher = RecordingWatcher()
    written = checkpoints[family].model().prototype_source.projected
    unmet = set() if written else {"projection"}
    if all((record.map_height, record.map_width) == (1, 1) for record in checkpoints[family].prototypes):
        unmet.add("places")
    if family != "shallow_cbc":
        unmet.add("certificate")
    left_out = {name for name in list_metrics() if get_metric(name).needs & unmet}
    measured = sorted(set(list_metrics()) - left_out)
    results = measure(checkpoints[family], planted, measured, QUICK, watcher, foreign=planted)
    assert list(results) == measured
    for name, result in results.items():
        metric = get_metric(name)
        json.dumps(result.to_dict(), allow_nan=False)
        if not result.score.n_used:
            assert sum(result.score.excluded.values()) == 8, "there was nothing to measure, and it says why"
            assert name == "funnybirds_contrastivity"
            continue
        assert metric.low - 1e-9 <= result.score.value <= metric.high, name
        assert math.isfinite(result.score.value), name
        assert result.settings["input_size"] == 64
        assert result.settings["half_window"] == 10
    assert results["accuracy"].score.n_used == 8
    ended = [step for step in watcher.steps if step[1] == step[2]]
    assert ended[-1] == ("computing scores", len(results), len(results))
    looked_at = [done for what, done, _ in watcher.steps if what == "looking at test images"]
    assert looked_at == sorted(set(looked_at)), "it only grows"
    assert ("looking at test images", looked_at[-1], looked_at[-1]) in ended


@pytest.mark.parametrize("family", ["protopnet", "cbc"])
def test_batch_size_changes_nothing(family, checkpoints, planted):
    numbers = []
    for size in (3, 32):
        results = measure(
            checkpoints[family], planted, [*CHEAP, "deletion", "augmentation_stability"], {**QUICK, "batch_size": size}
        )
        numbers.append(
            {name: (r.score.value, r.score.low, r.score.high, r.score.baselines) for name, r in results.items()}
        )
    for other in numbers[1:]:
        for name, (value, low, high, baselines) in other.items():
            assert (value, low, high) == pytest.approx(numbers[0][name][:3], abs=1e-4), name
            assert baselines == pytest.approx(numbers[0][name][3], abs=1e-4), name


def test_passes_are_shared(checkpoints, planted, forwarded):
    """Consistency, stability and all scores of activations take the clean pictures once and each draw once."""
    names = ["consistency", "stability", "distinctness", "accuracy", "purity", "redundancy", "calibration_error"]
    measure(checkpoints["protopnet"], planted, names, {**QUICK, "draws": 1})
    assert sum(forwarded) == 1 + 2 * 8, "one blank picture tells the size of the maps"
    forwarded.clear()
    measure(checkpoints["protopnet"], planted, ["consistency"], QUICK)
    assert sum(forwarded) == 1 + 8


def test_training_images_are_observed_once_for_all_metrics(checkpoints, planted, forwarded):
    names = ["class_from_background", "class_from_object", "accuracy"]
    everything = len(view_of(checkpoints["protopnet"], planted).train)
    watcher = RecordingWatcher()
    results = measure(checkpoints["protopnet"], planted, names, QUICK, watcher)
    assert sum(forwarded) == 1 + 8 + everything
    assert results["class_from_background"].score.details["training_images"] == everything
    assert ("looking at training images", 2 * everything, 2 * everything) in watcher.steps
    forwarded.clear()
    few = measure(checkpoints["protopnet"], planted, names, {**QUICK, "training_images": 2})
    assert sum(forwarded) == 1 + 8 + 2 * 4
    assert few["class_from_object"].settings["training_images"] == 2


def test_training_images_are_drawn_by_the_seed(checkpoints, planted):
    images = read_test_images(checkpoints["protopnet"], planted)
    drawn = [sample_training_images(images, 2, seed) for seed in (0, 0, 1)]
    assert drawn[0].ids == drawn[1].ids
    assert drawn[0].ids != drawn[2].ids
    assert drawn[0].labels.bincount().tolist() == [2] * 4
    assert {record.split for record in drawn[0].records} == {"train"}
    assert drawn[0].crop == images.crop
    assert sample_training_images(images, 0, 0).ids == tuple(record.id for record in images.training)


def test_fewer_images_of_each_class(checkpoints, planted):
    results = measure(checkpoints["protopnet"], planted, ["accuracy"], {"images_per_class": 1})
    assert results["accuracy"].score.n_used == 4
    assert results["accuracy"].settings["test_images"] == 4


class TestInterruption:
    class Stopped(Exception):  # noqa: N818
        pass

    def stop_after(self, steps):
        watcher = RecordingWatcher()
        progress = watcher.progress

        def stop(what, done, total):
            progress(what, done, total)
            if len(watcher.steps) == steps:
                raise self.Stopped

        watcher.progress = stop
        return watcher

    @pytest.mark.parametrize("steps", [1, 9])
    def test_goes_on_to_the_same_result(self, steps, checkpoints, planted, tmp_path, forwarded):
        settings = {**QUICK, "batch_size": 2}
        whole = measure(checkpoints["protopnet"], planted, CHEAP, settings)
        everything, work = sum(forwarded), tmp_path / "work"
        forwarded.clear()
        with pytest.raises(self.Stopped):
            measure(checkpoints["protopnet"], planted, CHEAP, settings, self.stop_after(steps), work=work)
        assert work.is_dir()
        before = sum(forwarded)
        forwarded.clear()
        watcher = RecordingWatcher()
        again = measure(checkpoints["protopnet"], planted, CHEAP, settings, watcher, work=work)
        assert {name: r.to_dict() for name, r in again.items()} == {name: r.to_dict() for name, r in whole.items()}
        assert sum(forwarded) < everything or steps < 6, "six passes look at a chunk"
        assert before + sum(forwarded) <= everything + 1 + 2 * 3, "no more than the broken-off chunk is observed again"
        looking = [step for step in watcher.steps if step[0].startswith("looking")]
        assert looking[0][1] > 2 or steps < 6, "progress starts where it was"
        assert looking[-1][1] == looking[-1][2]
        assert not work.exists()

    def test_other_settings_start_anew(self, checkpoints, planted, tmp_path, forwarded):
        work = tmp_path / "work"
        with pytest.raises(self.Stopped):
            measure(checkpoints["protopnet"], planted, ["stability"], QUICK, self.stop_after(3), work=work)
        forwarded.clear()
        measure(checkpoints["protopnet"], planted, ["stability"], {**QUICK, "noise": 0.3}, work=work)
        assert sum(forwarded) == 1 + 2 * 8, "the clean pass is kept, the noisy ones are not those"

    def test_one_measurement_at_a_time(self, checkpoints, planted, tmp_path):
        work = tmp_path / "work"
        work.mkdir()
        with FileLock(work / ".lock"), pytest.raises(UserError, match="another process is measuring"):
            measure(checkpoints["protopnet"], planted, ["accuracy"], work=work)
        assert work.is_dir(), "it belongs to the other"


class TestData:
    def test_plain_folders_have_no_parts(self, planted, tmp_path):
        """The same pictures in class folders: what needs no annotation is measured, the rest explained."""
        for record in read_image_set(planted).records:
            name = read_image_set(planted).classes[record.label]
            place = tmp_path / "flat" / record.split / name / record.path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(record.path.read_bytes())
        checkpoint = keep_checkpoint("protopnet", tmp_path / "flat", tmp_path / "kept")
        watcher = RecordingWatcher()
        results = measure(checkpoint, tmp_path / "flat", None, {**QUICK, "steps": 1}, watcher)
        assert {"augmentation_consistency", "augmentation_stability", "accuracy", "deletion"} <= set(results)
        assert not {"consistency", "purity", "pointing_game", "content_heatmap", "foreign_accepted"} & set(results)
        assert any(line.startswith("left out: consistency needs part locations") for line in watcher.lines)
        assert "misalignment_pac" not in results
        (costly,) = (line for line in watcher.lines if line.startswith("not measured unless named"))
        assert "misalignment_pac" in costly
        with pytest.raises(UserError, match="consistency needs part locations") as caught:
            measure(checkpoint, tmp_path / "flat", ["accuracy", "consistency"])
        assert "parts/part_locs.txt" in caught.value.fix
        with pytest.raises(UserError, match="pointing_game needs to know where the object is"):
            measure(checkpoint, tmp_path / "flat", ["pointing_game"])

    def test_other_classes_are_refused(self, checkpoints, cub):
        with pytest.raises(UserError, match="2 classes, the model 4"):
            measure(checkpoints["protopnet"], cub.root, ["accuracy"])

    def test_unknown_names_are_refused_before_any_work(self, checkpoints, planted, forwarded):
        with pytest.raises(UserError, match="unknown metric 'acuracy'"):
            measure(checkpoints["protopnet"], planted, ["acuracy"])
        with pytest.raises(UserError, match="unknown setting 'drwas'") as caught:
            measure(checkpoints["protopnet"], planted, ["accuracy"], {"drwas": 1})
        assert "did you mean 'draws'" in caught.value.fix
        with pytest.raises(UserError, match=r"unknown setting 'consistency\.treshold'"):
            measure(checkpoints["protopnet"], planted, ["consistency"], {"consistency": {"treshold": 1}})
        with pytest.raises(UserError, match="unknown setting 'purity'"):
            measure(checkpoints["protopnet"], planted, ["consistency"], {"purity": {"top_images": 3}})
        with pytest.raises(UserError, match="threshold"):
            measure(checkpoints["protopnet"], planted, ["consistency"], {"consistency": {"threshold": 2}})
        with pytest.raises(UserError, match="no table of settings"):
            measure(checkpoints["protopnet"], planted, ["consistency"], {"consistency": 0.7})
        assert forwarded == []


class TestCachedResults:
    def test_the_same_measurement_is_not_made_again(self, checkpoints, planted, forwarded):
        first = measure(checkpoints["protopnet"], planted, ["accuracy", "consistency"], QUICK)
        cached = {name: type(r).from_dict(name, json.loads(json.dumps(r.to_dict()))) for name, r in first.items()}
        forwarded.clear()
        again = measure(checkpoints["protopnet"], planted, ["consistency", "accuracy"], QUICK, cached=cached)
        assert forwarded == []
        assert list(again) == ["consistency", "accuracy"]
        assert again["accuracy"].score == first["accuracy"].score
        fresh = measure(checkpoints["protopnet"], planted, ["accuracy", "stability"], QUICK, cached=cached)
        assert forwarded
        assert set(fresh) == {"accuracy", "stability"}
        forwarded.clear()
        measure(checkpoints["protopnet"], planted, ["accuracy"], {**QUICK, "resamples": 101}, cached=cached)
        assert forwarded, "other settings, another measurement"

    def test_results_come_back_from_a_checkpoint(self, planted, tmp_path):
        checkpoint = keep_checkpoint("protopnet", planted, tmp_path / "kept")
        results = measure(checkpoint, planted, CHEAP, QUICK)
        table = {name: result.to_dict() for name, result in results.items()}
        after = add_metrics(checkpoint.path, {"interpretability": table})
        assert {name: result.to_dict() for name, result in cached_results(after).items()} == table
        card = (checkpoint.path / "measurements" / "README.md").read_text()
        assert "| consistency |" in card
        shorter = {**table["accuracy"], "baselines": {}}
        replaced = add_metrics(checkpoint.path, {"interpretability": {"accuracy": shorter}})
        assert replaced.metrics["interpretability"]["accuracy"]["baselines"] == {}, "no entry is half old"
        assert set(replaced.metrics["interpretability"]) == set(CHEAP)

    @pytest.mark.parametrize(
        "broken", [3, {"accuracy": 7}, {"accuracy": {"title": "x"}}, {"accuracy": {"value": "high"}}]
    )
    def test_malformed_metrics_are_an_error(self, broken, planted, tmp_path):
        checkpoint = keep_checkpoint("protopnet", planted, tmp_path / "kept")
        after = add_metrics(checkpoint.path, {"interpretability": broken})
        with pytest.raises(UserError, match="the measured metrics cannot be read"):
            cached_results(after)

    def test_names_tell_checkpoints_apart(self, tmp_path):
        a, b = tmp_path / "one" / "best", tmp_path / "two" / "best"
        assert distinct_names([a, tmp_path / "x"]) == ["best", "x"]
        assert distinct_names([a, b]) == ["one/best", "two/best"]
        with pytest.raises(UserError, match="given twice"):
            distinct_names([a, a])


def test_accuracy_is_that_of_evaluation(checkpoints, planted):
    from protoexplain.training.evaluate import evaluate

    for checkpoint in checkpoints.values():
        found = measure(checkpoint, planted, ["accuracy"])["accuracy"].score
        assert found.value == pytest.approx(evaluate(checkpoint, planted).accuracy)
        assert found.details["top5"] == 1


def test_gap_uses_the_prototypes_from_before(checkpoints, planted):
    """With an empty projection the gap is zero; here prototypes moved, so some class scores did."""
    checkpoint = checkpoints["protopnet"]
    model = checkpoint.model()
    before = before_projection(checkpoint, model)
    (_, old), (_, new) = before.named_branches()[0], model.named_branches()[0]
    assert torch.equal(old.prototypes, checkpoint.before_projection()["main"])
    assert not torch.equal(old.prototypes, new.prototypes)
    score = measure(checkpoint, planted, ["projection_gap"])["projection_gap"].score
    assert score.value == pytest.approx(score.details["before"] - score.details["after"])
