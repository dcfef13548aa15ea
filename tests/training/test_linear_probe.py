"""The linear probe before training."""

import pytest
import torch
from tiny_runs import open_run, run_log, tiny_config, tiny_train

from protoexplain.training.linear_probe import compared_with_probe, linear_probe, probe_run


def drawn(count, classes=3, apart=4.0, seed=0):
    """Mean features around the corners of a simplex."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    return apart * torch.eye(classes, 8)[labels] + torch.randn(count, 8, generator=generator), labels


def test_many_held_out_images_are_the_test():
    found = linear_probe(drawn(150), drawn(100, seed=1))
    assert (found.images, found.folds) == (100, 0)
    assert found.accuracy > 0.9


def test_few_held_out_images_are_joined_with_the_others():
    found = linear_probe(drawn(60), drawn(6, seed=1))
    assert (found.images, found.folds) == (66, 5)
    assert found.accuracy > 0.9
    assert linear_probe(drawn(60, apart=0), drawn(0)).accuracy < 0.6


def test_too_few_images_tell_nothing():
    assert linear_probe(drawn(3), drawn(0)) is None
    assert linear_probe(drawn(9, classes=1), drawn(0)) is None


def test_pixels_are_not_probed(planted, tmp_path):
    assert probe_run(open_run(tiny_config("shallow_cbc"), planted, tmp_path)) is None


@pytest.mark.parametrize(("folds", "worse"), [(0, True), (5, False)])
def test_a_model_below_the_probe_is_told(folds, worse):
    metrics = {"linear_probe": {"accuracy": 0.7, "images": 9, "folds": folds}}
    metrics |= {"validation_accuracy": 0.6, "test_accuracy": 0.8}
    assert bool(compared_with_probe(metrics)) == worse
    assert compared_with_probe({**metrics, "linear_probe": None}) is None


def test_the_probe_is_kept_in_the_checkpoint(planted, tmp_path):
    result = tiny_train("protopnet", planted, tmp_path / "run")
    probe = result.metrics["linear_probe"]
    assert result.checkpoint.metrics["linear_probe"] == probe
    assert 0 <= probe["accuracy"] <= 1
    assert "linear_probe" in (result.checkpoint.path / "README.md").read_text().replace("\\", "")
    assert run_log(tmp_path / "run")
