"""Whole runs on few small pictures: what they leave behind, and that they can be repeated."""

import json
import math
import os
import shutil
from multiprocessing.process import BaseProcess

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from tiny_runs import SCHEDULES, open_run, run_log, same_tensors, tiny_config, tiny_model, tiny_train, with_train

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.folders import find_checkpoints
from protoexplain.data.dataset_view import view_of_run
from protoexplain.models.registry import get_family
from protoexplain.training import run as run_module
from protoexplain.training import train_stage as stage_module
from protoexplain.training.run import train
from protoexplain.training.schedule import stages_of
from protoexplain.training.state import STATE_FILE, Snapshot, weights_of
from protoexplain.training.timing import measure_costs
from protoexplain.training.train_stage import train_stage
from protoexplain.training.trainer import Trainer
from protoexplain.training.verify import verify


def files(folder):
    return {path.relative_to(folder).parts[0] for path in folder.rglob("*")}


def weights(folder):
    return Checkpoint.load(folder).model().state_dict()


@pytest.mark.parametrize("family", SCHEDULES)
def test_run_leaves_log_board_and_verified_checkpoint(family, planted, tiny_run):
    result, config = tiny_run(family), tiny_config(family)
    out = result.checkpoint.path.parent
    lines = run_log(out)
    epochs = [line for line in lines if line["stage"] not in ("projection", "unused")]
    expected = [
        (stage.name, epoch, set(stage.losses))
        for stage in get_family(family).stages(config.schedule)
        for epoch in range(1, stage.epochs + 1)
    ]
    assert [(line["stage"], line["epoch"]) for line in epochs] == [entry[:2] for entry in expected]
    for line, (_, _, terms) in zip(epochs, expected, strict=True):
        assert terms <= set(line), line
        assert all(isinstance(line[name], float) for name in terms)
        assert isinstance(line["loss"], float)
        assert 0 <= line["accuracy"] <= 1
    assert sum(line["stage"] == "projection" for line in lines) == len(result.metrics["projections"])
    assert any((out / "tensorboard").glob("events*"))
    assert files(out) <= {"best", "last", "config.yaml", "data.json", "metrics.jsonl", "tensorboard", ".lock"}
    assert result.checkpoint.path.name == "best"
    data = view_of_run(config.data, planted)
    report = verify(Checkpoint.load(out / "best"), data)
    assert report.passed, report.as_text()
    assert result.checkpoint.metrics["test_accuracy"] == result.metrics["test_accuracy"]
    assert result.checkpoint.config == config
    assert len(result.findings) >= 3
    assert all(finding.sentence for finding in result.findings)


class TestBestAndLast:
    def test_best_is_the_best_eligible_epoch_and_last_the_end(self, planted, tmp_path):
        """With a validation set, weights are eligible once prototypes are patches; ties go to the later epoch."""
        out = tmp_path / "run"
        result = tiny_train("protopnet", planted, out, schedule={"last_layer_epochs": 4, "lr_head": 0.05})
        lines = run_log(out)
        eligible = [
            line["validation_after" if line["stage"] == "projection" else "validation_accuracy"]
            for line in lines[[line["stage"] for line in lines].index("projection") :]
        ]
        best = max(eligible)
        assert result.metrics["validation_accuracy"] == best
        place = len(eligible) - 1 - eligible[::-1].index(best)
        assert result.metrics["kept"] == ("projection" if place == 0 else f"last layer {place}")
        assert (out / "last").exists() == (place < len(eligible) - 1)

    @pytest.mark.parametrize(("end", "kept"), [(0.5, "last layer 3"), (0.0, "projection")])
    def test_a_last_layer_that_comes_to_rest_is_kept_unless_it_is_clearly_worse(
        self, planted, tmp_path, monkeypatch, end, kept
    ):
        """Better epochs before its end are luck of few images; two standard errors of them are no difference."""
        found, whole = iter([0.9, 0.9, end]), Trainer.accuracy
        during = []
        monkeypatch.setattr(Trainer, "accuracy", lambda run, inputs: next(found) if during else whole(run, inputs))
        push = Trainer.push

        def projected(run, stage):
            push(run, stage)
            run.state.best.accuracy = 0.6
            during.append(stage)

        monkeypatch.setattr(Trainer, "push", projected)
        decay = {"kind": "cosine", "total": 3}
        schedule = {"projections": [0], "last_layer_epochs": 3, "last_layer_decay": decay}
        result = tiny_train("protopnet", planted, tmp_path / "run", schedule=schedule)
        assert len(view_of_run(result.checkpoint.config.data, planted).validation) <= 20
        assert result.metrics["kept"] == kept

    def test_differing_last_is_kept_beside_best(self, planted, tmp_path, monkeypatch):
        seen = iter([0.9, 0.1, 0.2])
        monkeypatch.setattr(Trainer, "accuracy", lambda self, inputs: next(seen, 0.5))
        monkeypatch.setattr(Trainer, "evaluate", lambda self, records: 0.95)
        out = tmp_path / "run"
        tiny_train("protopnet", planted, out)
        best, last = Checkpoint.load(out / "best"), Checkpoint.load(out / "last")
        assert best.metrics["kept"] == "projection"
        assert last.metrics["kept"] == "end of the schedule"
        assert not same_tensors(weights(out / "best"), weights(out / "last"))
        assert best.prototypes == last.prototypes
        assert find_checkpoints(out) == [out / "best", out / "last"]

    def test_later_weights_win_a_tie(self, planted, tmp_path, monkeypatch):
        monkeypatch.setattr(Trainer, "accuracy", lambda self, inputs: 0.5)
        result = tiny_train("protopnet", planted, tmp_path / "run")
        assert result.metrics["kept"] == "last layer 2"
        assert not (tmp_path / "run" / "last").exists()

    def test_without_validation_the_last_weights_are_kept(self, planted, tmp_path):
        out = tmp_path / "run"
        result = tiny_train("protopnet", planted, out, data={"validation": 0})
        assert result.metrics["kept"] == "end of the schedule"
        assert result.metrics["validation_images"] == 0
        assert result.checkpoint.metrics["validation_accuracy"] is None
        assert not (out / "last").exists()
        assert "NaN" not in (out / "metrics.jsonl").read_text()

    def test_kill_between_last_and_best_can_be_resumed(self, planted, tmp_path, monkeypatch):
        """The state is there until all checkpoints are, and a checkpoint that was written is not in the way."""
        out = tmp_path / "run"
        seen = iter([0.9, 0.1, 0.2])
        monkeypatch.setattr(Trainer, "accuracy", lambda self, inputs: next(seen, 0.5))
        monkeypatch.setattr(Trainer, "evaluate", lambda self, records: 0.95)
        written = Trainer.save

        def killed_before_best(run, path, *rest):
            if path.name == "best":
                raise KeyboardInterrupt
            return written(run, path, *rest)

        monkeypatch.setattr(Trainer, "save", killed_before_best)
        with pytest.raises(KeyboardInterrupt):
            tiny_train("protopnet", planted, out)
        assert files(out) >= {"last", STATE_FILE}
        last = weights(out / "last")
        monkeypatch.setattr(Trainer, "save", written)
        tiny_train("protopnet", planted, out, options={"resume": True})
        assert same_tensors(weights(out / "last"), last)
        assert Checkpoint.load(out / "best").metrics["kept"] == "projection"
        assert not (out / STATE_FILE).exists()


class TestRepeatability:
    def test_same_seed_same_run_whatever_loads_the_images(self, planted, tmp_path, tiny_checkpoint):
        for name, workers in (("b", 0), ("c", 2)):
            tiny_train("st_protopnet", planted, tmp_path / name, data={"workers": workers})
        first = run_log(tiny_checkpoint("st_protopnet").parent)
        assert first
        assert run_log(tmp_path / "b") == first
        assert run_log(tmp_path / "c") == first
        expected = weights(tiny_checkpoint("st_protopnet"))
        assert same_tensors(weights(tmp_path / "b" / "best"), expected)
        assert same_tensors(weights(tmp_path / "c" / "best"), expected)

    def test_other_seed_other_run(self, planted, tmp_path, tiny_run):
        first = tiny_run("protopnet").checkpoint
        assert first.config.training.seed == 0
        tiny_train("protopnet", planted, tmp_path / "1", training={"seed": 1})
        assert run_log(first.path.parent) != run_log(tmp_path / "1")


class TestSettings:
    def after_first_stage(self, planted, folder, augmentation="none", **training):
        config = tiny_config("protopnet", data={"augmentation": augmentation}, training=training)
        run = open_run(config, planted, folder)
        train_stage(run, get_family("protopnet").stages(config.schedule)[0])
        return run.model

    def test_cached_features_train_nearly_the_same(self, planted, tmp_path):
        """Without augmentation the cache only rounds features to half precision."""
        start = weights_of(tiny_model(tiny_config("protopnet")))
        cached = weights_of(self.after_first_stage(planted, tmp_path, cached_views=1))
        fresh = weights_of(self.after_first_stage(planted, tmp_path, cached_views=0))
        for name in ("branches.main.prototypes", "branches.main.addon.0.weight"):
            moved = (fresh[name] - start[name]).norm()
            assert moved > 0
            assert (cached[name] - fresh[name]).norm() < 0.05 * moved

    def test_frozen_batch_norm_rests_unless_published_behaviour_is_asked_for(self, planted, tmp_path):
        start = weights_of(tiny_model(tiny_config("protopnet")))
        statistics = [name for name in start if name.endswith(("running_mean", "running_var"))]
        assert statistics
        resting = weights_of(self.after_first_stage(planted, tmp_path, cached_views=0))
        moving = weights_of(self.after_first_stage(planted, tmp_path, published_batch_norm=True))
        assert all(torch.equal(resting[name], start[name]) for name in statistics)
        assert not any(torch.equal(moving[name], start[name]) for name in statistics)

    @pytest.mark.parametrize("published", [False, True])
    def test_prototypes_stay_on_their_patches_in_the_last_stage(self, planted, tmp_path, published):
        config = tiny_config("protopnet", training={"published_batch_norm": published})
        run = open_run(config, planted, tmp_path)
        for stage in get_family("protopnet").stages(config.schedule):
            train_stage(run, stage)
            run.end_stage()
        similarity = run.find_patches()[0].similarity
        assert (similarity.max() > -1e-6) == (not published)
        assert (similarity.min() > -1e-6) == (not published)

    def test_caches_hold_what_training_and_what_inference_see(self, planted, tmp_path, monkeypatch):
        """CBC forgets weak detections at inference only, so only validation images may lose them."""
        config = tiny_config("cbc", model={"inference_threshold": 0.25})
        run = open_run(config, planted, tmp_path)
        made, make = [], stage_module.make_inputs
        monkeypatch.setattr(stage_module, "make_inputs", lambda *rest: made.append(make(*rest)) or made[-1])
        train_stage(run, get_family("cbc").stages(config.schedule)[1])
        training, validation = (inputs.shards[0] for inputs in made)
        assert ((training > 0) & (training < 0.25)).any()
        assert not ((validation > 0) & (validation < 0.25)).any()
        assert (validation == 0).any()

    def test_gradient_clipping_limits_the_norm(self, planted, tmp_path, monkeypatch):
        norms = []
        step = torch.optim.Adam.step

        def noted(self, *rest, **more):
            parameters = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
            norms.append(float(torch.cat([p.grad.flatten() for p in parameters]).norm()))
            return step(self, *rest, **more)

        monkeypatch.setattr(torch.optim.Adam, "step", noted)
        self.after_first_stage(planted, tmp_path)
        free, norms[:] = max(norms), []
        self.after_first_stage(planted, tmp_path, gradient_clip=free / 4)
        assert norms
        assert max(norms) <= free / 4 * 1.001

    @pytest.mark.parametrize("first_scale", [2.0, 2.0**30])
    def test_gradients_are_clipped_under_16_mixed(self, planted, tmp_path, monkeypatch, first_scale):
        """Scales that are too large at first make infinite gradients, whose steps are left out."""
        scaler = torch.amp.GradScaler("cpu", init_scale=first_scale)
        half = Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu", scaler))
        monkeypatch.setattr(run_module, "make_fabric", lambda *_, **__: half)
        result = tiny_train("protopnet", planted, tmp_path, training={"gradient_clip": 0.5})
        assert math.isfinite(result.metrics["test_accuracy"])
        assert all(math.isfinite(line["loss"]) for line in run_log(tmp_path) if "loss" in line)

    def test_what_only_observes_does_so_in_float32(self, planted, tmp_path):
        """Prototypes that are means of features are those of the features that explanations are computed from."""
        config = tiny_config("nonparametric")
        run, seen = open_run(config, planted, tmp_path), set()
        run.fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
        run.model.embedding.added[-1].register_forward_hook(
            lambda module, _, found: seen.add(found.dtype) if module.training else None
        )
        for stage in stages_of(config):
            measure_costs(run, [stage], [run.model])
            train_stage(run, stage)
            assert seen == {torch.bfloat16 if stage.lr else torch.float32}
            seen.clear()

    def test_workers_start_once(self, planted, tmp_path, monkeypatch):
        """Epochs, projections and evaluations all read by the same processes, which end with the run."""
        started, start = [], BaseProcess.start
        monkeypatch.setattr(BaseProcess, "start", lambda self: started.append(self) or start(self))
        tiny_train("protopnet", planted, tmp_path / "run", data={"workers": 1})
        assert len(started) == 1
        assert not started[0].is_alive()

    def test_passes_show_each_image_that_often_per_epoch(self, planted, tmp_path):
        config = tiny_config("protopnet", training={"passes": 3})
        shown = []
        run = open_run(config, planted, tmp_path)
        run.callbacks.save_state = lambda now: shown.append((run.state.sums.images, dict(run.state.epochs_done)))
        monitor = []
        run.callbacks.interrupted = lambda: bool(monitor.append(run.state.sums.images))
        train_stage(run, get_family("protopnet").stages(config.schedule)[0])
        assert max(monitor) == 3 * len(run.data.train)
        assert run.state.epochs_done == {"warm": 2}


def test_unreadable_image_is_left_out_and_told(planted, tmp_path):
    root = shutil.copytree(planted, tmp_path / "birds")
    victim = next(record for record in view_of_run(tiny_config("protopnet").data, root).train)
    victim.path.write_bytes(victim.path.read_bytes()[:100])
    told = []

    class Watcher:
        def progress(self, what, done, total):
            assert 0 <= done <= total

        def line(self, text):
            told.append(text)

    result = tiny_train("protopnet", root, tmp_path / "run", options={"watcher": Watcher()})
    assert any("left out" in line and victim.path.name in line for line in told)
    assert result.metrics["train_images"] == 19
    assert victim.id not in {record.image_id for record in result.checkpoint.prototypes}


def test_class_without_readable_image_keeps_its_prototypes_unprojected(planted, tmp_path):
    run = open_run(tiny_config("protopnet"), planted, tmp_path)
    run.data = with_train(run.data, tuple(r for r in run.data.train if r.label != 2))
    stage = get_family("protopnet").stages(run.config.schedule)[1]
    before = run.model.branches["main"].prototypes.detach().clone()
    train_stage(run, stage.model_copy(update={"epochs": 0}))
    after, owner = run.model.branches["main"].prototypes.detach(), run.model.ownership.labels
    assert torch.equal(after[owner == 2], before[owner == 2])
    assert not (after[owner != 2] == before[owner != 2]).flatten(1).all(1).any()
    assert run.state.patches[0].found.tolist() == (owner != 2).tolist()


def test_caches_of_a_killed_run_are_removed(planted, tmp_path):
    left = tmp_path / ".cache-abc"
    left.mkdir()
    (left / "features.f16").write_bytes(bytes(1000))
    tiny_train("protopnet", planted, tmp_path)
    assert not left.exists()
    assert os.listdir(tmp_path)
    assert json.loads((tmp_path / "best" / "metrics.json").read_text())["train_images"] == 20


def test_snapshot_holds_its_own_weights():
    model = tiny_model(tiny_config("protopnet"))
    kept = Snapshot(weights_of(model), [], {}, 0.5, "here")
    before = {name: tensor.clone() for name, tensor in kept.weights.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert same_tensors(kept.weights, before)


def test_train_takes_the_configured_folder(planted, tmp_path):
    config = tiny_config("cbc", data={"path": str(planted)})
    assert train(config, tmp_path / "run").checkpoint.data.train_images == 20
