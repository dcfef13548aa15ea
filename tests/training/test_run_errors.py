"""What runs refuse, and how they end when the loss does."""

import os
import shutil
import subprocess

import pytest
import torch
from tiny_runs import open_run, tiny_config, tiny_raw, tiny_train

from protoexplain.config import parse
from protoexplain.data.dataset_view import view_of_run
from protoexplain.errors import UserError
from protoexplain.io.lock import FolderLock
from protoexplain.models.families.protopnet.network import ProtoPNet
from protoexplain.models.registry import get_family
from protoexplain.training.state import STATE_FILE
from protoexplain.training.train_stage import train_stage


class TestRefusals:
    def test_finished_run(self, planted, tmp_path):
        for name in ("best", "last"):
            (tmp_path / name / name).mkdir(parents=True)
            with pytest.raises(UserError, match="finished run"):
                tiny_train("protopnet", planted, tmp_path / name)

    def test_folder_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").touch()
        for out in (tmp_path / "file", tmp_path / "file" / "run"):
            with pytest.raises(UserError, match="cannot write"):
                tiny_train("protopnet", tmp_path / "not even data", out)

    def test_interrupted_run_without_resume(self, planted, tmp_path):
        (tmp_path / STATE_FILE).write_bytes(b"something")
        with pytest.raises(UserError, match="interrupted run"):
            tiny_train("protopnet", planted, tmp_path)
        assert (tmp_path / STATE_FILE).read_bytes() == b"something"

    def test_damaged_state(self, planted, tmp_path):
        (tmp_path / STATE_FILE).write_bytes(b"something")
        with pytest.raises(UserError, match="state of the run cannot be read"):
            tiny_train("protopnet", planted, tmp_path, options={"resume": True})

    def test_folder_in_use_by_another_process(self, planted, tmp_path):
        lock = FolderLock(tmp_path, "at work")
        lock.acquire()
        with pytest.raises(UserError, match=rf"another process .*: process {os.getpid()} on ") as caught:
            tiny_train("protopnet", planted, tmp_path)
        assert "another --out" in caught.value.fix
        lock.release()

    def test_unknown_loss_weights(self, planted, tmp_path):
        with pytest.raises(UserError, match=r"schedule.losses.clutser.*did you mean 'cluster'"):
            parse(tiny_raw("protopnet", schedule={"losses": {"clutser": 1.0}}))
        run = open_run(tiny_config("protopnet"), planted, tmp_path)
        stage = get_family("protopnet").stages(run.config.schedule)[0]
        with pytest.raises(UserError, match=r"\['clutser'\] do not exist"):
            train_stage(run, stage.model_copy(update={"losses": {**stage.losses, "clutser": 1.0}}))

    def test_unknown_parameter_group(self, planted, tmp_path):
        run = open_run(tiny_config("protopnet"), planted, tmp_path)
        stage = get_family("protopnet").stages(run.config.schedule)[0]
        with pytest.raises(UserError, match="unknown parameter group"):
            train_stage(run, stage.model_copy(update={"lr": {"neck": 1.0}}))

    def test_half_precision_on_a_slow_processor(self, planted, tmp_path):
        with pytest.raises(UserError, match="slower than 32-true"):
            tiny_train("protopnet", planted, tmp_path / "run", training={"precision": "16-mixed"})
        assert not (tmp_path / "run").exists()

    def test_more_processes_than_images_in_a_batch(self, planted, tmp_path):
        with pytest.raises(UserError, match="99 processes cannot share batches of 8 images"):
            tiny_train("protopnet", planted, tmp_path / "run", training={"devices": 99})
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("accelerator", ["cuda", "mps", "gpu", "tpu"])
    def test_absent_accelerator(self, planted, tmp_path, monkeypatch, accelerator):
        monkeypatch.setattr("protoexplain.devices.available_kinds", lambda: ("cpu",))
        with pytest.raises(UserError, match=f"device '{accelerator}'") as caught:
            tiny_train("protopnet", planted, tmp_path / "run", training={"accelerator": accelerator})
        assert caught.value.where == "training.accelerator"
        assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [200, 1000])
def test_a_disk_that_is_too_small(kilobytes, planted, tmp_path):
    """A real one, in memory: what fits was written whole, and nothing is left of the rest."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", disk]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root can mount a disk in memory")
    try:
        with pytest.raises(UserError, match=r"the disk is full: needs at least \d+\.\d MB"):
            tiny_train("protopnet", planted, disk / "run", options={"save_every": 0.0})
        assert not list(disk.rglob("*.tmp-*"))
        assert not list(disk.rglob(".cache-*"))
        assert not (disk / "run" / "best").exists()
    finally:
        subprocess.run(["umount", disk], check=True)


class TestLossThatIsNotFinite:
    def test_gradients_that_are_to_be_clipped(self, planted, tmp_path, monkeypatch):
        terms = ProtoPNet.loss_terms

        def steep(self, output, labels, names, active=None):
            found = terms(self, output, labels, names, active)
            return {**found, "cluster": found["cluster"] + (found["cluster"] - found["cluster"].detach()).abs().sqrt()}

        monkeypatch.setattr(ProtoPNet, "loss_terms", steep)
        with pytest.raises(UserError, match="the norm of the gradients became") as caught:
            tiny_train("protopnet", planted, tmp_path, training={"gradient_clip": 1.0})
        assert caught.value.where.startswith("step 0, images ")

    def test_exploding_learning_rate(self, planted, tmp_path):
        with pytest.raises(UserError, match="loss became") as caught:
            tiny_train("protopnet", planted, tmp_path, schedule={"lr_addon": 1e30, "lr_prototypes": 1e30})
        assert not (tmp_path / "best").exists()
        assert "training.gradient_clip" in caught.value.fix

    def test_poisoned_batch_is_named_with_its_images(self, planted, tmp_path, monkeypatch):
        terms = ProtoPNet.loss_terms
        calls = []

        def poisoned(self, output, labels, names, active=None):
            if torch.is_grad_enabled():  # the model is tried without gradients before
                calls.append(labels)
            found = terms(self, output, labels, names, active)
            return {**found, "cluster": found["cluster"] * float("nan")} if len(calls) == 2 else found

        monkeypatch.setattr(ProtoPNet, "loss_terms", poisoned)
        with pytest.raises(UserError) as caught:
            tiny_train("protopnet", planted, tmp_path)
        assert caught.value.what == "the loss became nan (terms: cluster)"
        assert caught.value.where.startswith("step 1, images ")
        data = view_of_run(tiny_config("protopnet").data, planted)
        named = caught.value.where.removeprefix("step 1, images ").split(", ")
        labels = {record.id: record.label for record in data.train}
        assert len(named) == 8
        assert sorted(labels[name] for name in named) == sorted(calls[1][:8].tolist())

    def test_weights_of_the_good_steps_stay_on_disk(self, planted, tmp_path, monkeypatch):
        terms = ProtoPNet.loss_terms

        def late(self, output, labels, names, active=None):
            found = terms(self, output, labels, names, active)
            return {name: t / 0 if output.branches["main"].similarity is None else t for name, t in found.items()}

        monkeypatch.setattr(ProtoPNet, "loss_terms", late)
        with pytest.raises(UserError, match="loss became inf"):
            tiny_train("protopnet", planted, tmp_path)
        assert (tmp_path / STATE_FILE).exists()
        monkeypatch.setattr(ProtoPNet, "loss_terms", terms)
        result = tiny_train("protopnet", planted, tmp_path, options={"resume": True})
        assert result.checkpoint.path == tmp_path / "best"
