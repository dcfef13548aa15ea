"""Verification passes what training made, and finds each kind of tampering by name."""

import dataclasses

import pytest
import torch
from small_runs import draw, fresh, project, run_data, save

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.prototypes import select
from protoexplain.checkpoint.save import save_checkpoint
from protoexplain.io.manifest import MANIFEST, manifest_of
from protoexplain.models.base import PrototypeModel
from protoexplain.models.registry import family_names
from protoexplain.training.verify import verify

WITHOUT_DATA = ["files", "weights"]
ALL = [*WITHOUT_DATA, "data set", "source images", "prototypes are patches", "nearest patches"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return run_data(tmp_path_factory.mktemp("noise"))


def trained(path, data, family="protopnet", **changes):
    config, model = fresh(family)
    patches, before_projection = project(config, model, data)
    return save(path, config, model, data, patches, before_projection, **changes)


def failed(report):
    return {check.name: check for check in report.checks if not check.passed}


@pytest.mark.parametrize("family", family_names())
def test_what_training_made_passes(family, tmp_path, data):
    checkpoint = trained(tmp_path / "best", data, family)
    told = []
    report = verify(checkpoint, data, progress=lambda done, total: told.append((done, total)))
    assert report.passed, report.as_text()
    assert [check.name for check in report.checks] == ALL
    assert report.sha256 == checkpoint.sha256
    assert told[-1] == (12, 12)
    assert f"{len(checkpoint.prototypes)} of {len(checkpoint.prototypes)}" in report.checks[-1].detail


def test_larger_prototypes_pass(tmp_path, data):
    config, model = fresh("protopnet", prototype_size=(2, 3))
    checkpoint = save(tmp_path / "best", config, model, data, *project(config, model, data))
    assert (checkpoint.prototypes[0].map_height, checkpoint.prototypes[0].map_width) == (3, 2)
    assert verify(checkpoint, data).passed


def test_model_that_was_never_projected_is_checked_as_illustrated(tmp_path, data):
    config, model = fresh("protopnet")
    patches, _ = project(config, model, data)
    _, model = fresh("protopnet")
    checkpoint = save(tmp_path / "best", config, model, data, patches, {})
    report = verify(checkpoint, data)
    assert report.passed, report.as_text()
    assert "0 of 0" in report.checks[4].detail


def test_without_data_only_the_files_are_checked(tmp_path, data):
    report = verify(trained(tmp_path / "best", data))
    assert report.passed
    assert [check.name for check in report.checks] == WITHOUT_DATA


def saved_again(path, checkpoint, change, kept=None):
    """The checkpoint with a changed model, perhaps with some of its prototypes only, and fitting hashes."""
    model, before_projection, records = checkpoint.model(), checkpoint.before_projection(), checkpoint.prototypes
    if kept is not None:
        model.select(torch.tensor(kept))
        before_projection, records = (
            {name: before[kept] for name, before in before_projection.items()},
            select(records, kept),
        )
    change(model)
    return save_checkpoint(
        path,
        model=model,
        config=checkpoint.config,
        classes=checkpoint.classes,
        data=checkpoint.data,
        records=records,
        pictures={name: b"" for record in records for name in (record.patch, record.source)},
        before_projection=before_projection,
        metrics={},
    )


def test_pruned_model_passes(tmp_path, data):
    whole = trained(tmp_path / "whole", data)
    report = verify(saved_again(tmp_path / "pruned", whole, lambda model: None, kept=[0, 3, 4]), data)
    assert report.passed, report.as_text()
    assert "3 of 3" in report.checks[-1].detail


def test_changed_file_is_named(tmp_path, data):
    checkpoint = trained(tmp_path / "best", data)
    (checkpoint.path / "README.md").write_text("better")
    report = verify(checkpoint)
    assert list(failed(report)) == ["files"]
    assert "README.md" in report.as_text()


def test_unusable_weights_end_the_check(tmp_path, data):
    checkpoint = trained(tmp_path / "best", data)
    (checkpoint.path / "model.safetensors").write_bytes(b"")
    report = verify(checkpoint, data)
    assert list(failed(report)) == WITHOUT_DATA
    assert len(report.checks) == 2


def test_other_data_are_told(tmp_path, data):
    checkpoint = trained(tmp_path / "best", data)
    other = run_data(tmp_path / "other", crop="full", each=3)
    report = verify(checkpoint, other)
    assert "fingerprint" in failed(report)["data set"].offenders[0]
    assert any("recorded box, found full" in line for line in failed(report)["data set"].offenders)
    assert any("recorded 12, found 9" in line for line in failed(report)["data set"].offenders)
    assert "nearest patches" not in [check.name for check in report.checks]


def test_changed_image_is_named(tmp_path):
    data = run_data(tmp_path / "noise")
    checkpoint = trained(tmp_path / "best", data)
    victim = next(image for image in data.train if image.id == checkpoint.prototypes[3].image_id)
    draw(victim.path, 999)
    check = failed(verify(checkpoint, data))["source images"]
    assert len(check.offenders) == 1
    assert check.offenders[0].startswith(f"{victim.id}: recorded SHA-256")


def moved_prototype(model: PrototypeModel) -> None:
    dict(model.named_branches())["main"].prototypes.data[3] += 0.01


def test_prototype_that_left_its_patch_is_named(tmp_path, data):
    checkpoint = saved_again(tmp_path / "moved", trained(tmp_path / "best", data), moved_prototype)
    check = failed(verify(checkpoint, data))["prototypes are patches"]
    assert [line.split(":")[0] for line in check.offenders] == ["prototype 3 (Robin)"]


def test_features_that_drifted_are_found(tmp_path, data):
    def drift(model):
        next(m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)).running_var *= 1.5

    checkpoint = saved_again(tmp_path / "drifted", trained(tmp_path / "best", data), drift)
    check = failed(verify(checkpoint, data))["prototypes are patches"]
    assert len(check.offenders) == len(checkpoint.prototypes)


def second_best(data, config):
    """Patches and proof where prototype 2 took a patch of another image than the nearest one."""
    _, model = fresh("protopnet")
    best, before_projection = project(config, model, data)
    hidden = int(best[0].image[2])
    left = tuple(record for i, record in enumerate(data.train) if i != hidden)
    fewer = dataclasses.replace(data, image_set=dataclasses.replace(data.image_set, records=left))
    _, model = fresh("protopnet")
    patches, _ = project(config, model, fewer)
    return (
        model,
        [dataclasses.replace(patches[0], image=patches[0].image + (patches[0].image >= hidden))],
        before_projection,
    )


def test_nearer_patch_is_found(tmp_path, data):
    config, _ = fresh("protopnet")
    model, patches, before_projection = second_best(data, config)
    checkpoint = save(tmp_path / "best", config, model, data, patches, before_projection)
    report = verify(checkpoint, data)
    assert list(failed(report)) == ["nearest patches"]
    offenders = failed(report)["nearest patches"].offenders
    assert any(line.startswith("prototype 2 (Robin): best similarity") for line in offenders)


def test_projection_without_proof_is_not_believed(tmp_path, data):
    checkpoint = trained(tmp_path / "best", data)
    (checkpoint.path / "proof.safetensors").unlink()
    (checkpoint.path / MANIFEST).write_text(manifest_of(checkpoint.path).to_json())
    report = verify(Checkpoint.load(checkpoint.path), data)
    assert "no proof" in failed(report)["nearest patches"].detail


def test_report_lists_some_offenders_and_counts_the_rest(tmp_path, data):
    def drift(model):
        for _, branch in model.named_branches():
            branch.prototypes.data += 0.1

    checkpoint = saved_again(tmp_path / "drifted", trained(tmp_path / "best", data), drift)
    text = verify(checkpoint, data).as_text(shown=2)
    assert "FAILED  prototypes are patches: 0 of 6 equal their recorded patch" in text
    assert "and 4 more" in text
    assert "passed  files" in text
