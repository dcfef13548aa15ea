"""Projecting and pruning a finished checkpoint: a new one that proves itself, the old one untouched."""

import contextlib
import hashlib
import shutil
from collections import Counter

import pytest
import torch
from patch_maps import assert_maps_fit
from statistics_of_images import knows_its_images
from tiny_runs import tiny_train

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.dataset_view import view_of_run
from protoexplain.data.loading import ImageDataset, batches
from protoexplain.errors import UserError
from protoexplain.planted import draw
from protoexplain.progress import Silent
from protoexplain.training.checkpoint_ops import prune, reproject
from protoexplain.training.diagnose import diagnose
from protoexplain.training.evaluate import evaluate
from protoexplain.training.projection import latent_batches
from protoexplain.training.responses import responses
from protoexplain.training.verify import verify


@pytest.fixture(scope="module")
def made(planted, tiny_checkpoint, tmp_path_factory):
    """family -> its checkpoint, trained once."""
    folder, kept = tmp_path_factory.mktemp("rework"), {}

    def checkpoint(family):
        if family not in kept:
            if family == "cbc":
                kept[family] = Checkpoint.load(tiny_checkpoint(family))
            else:
                changed = tiny_train(family, planted, folder / family, model={"prototypes_per_class": 4})
                kept[family] = changed.checkpoint
        return kept[family]

    return checkpoint


def content(folder):
    return {p.relative_to(folder): hashlib.sha256(p.read_bytes()).digest() for p in folder.rglob("*") if p.is_file()}


def verified(checkpoint, planted):
    report = verify(checkpoint, view_of_run(checkpoint.config.data, planted))
    assert report.passed, report.as_text()
    assert_maps_fit(checkpoint)
    assert checkpoint.split_ids() == view_of_run(checkpoint.config.data, planted).split_ids
    knows_its_images(checkpoint, planted)


def strictly_pruned(checkpoint, planted, out):
    """By the strictest threshold that leaves any prototype."""
    for threshold in range(6, 0, -1):
        with contextlib.suppress(UserError):
            return prune(checkpoint.path, planted, out, Silent(), "again", 6, threshold, 2)
    raise AssertionError("no threshold leaves a prototype")


@pytest.mark.parametrize("family", ["protopnet", "st_protopnet", "evalprotopnet"])
def test_pruned_checkpoint(family, made, planted, tmp_path):
    before = made(family)
    files = content(before.path)
    result = strictly_pruned(before, planted, tmp_path / "new")
    after = result.checkpoint
    removed = result.metrics["prototypes_removed"]
    assert 0 < removed < len(before.prototypes)
    assert len(after.prototypes) == len(before.prototypes) - removed
    kept = [record.original_index for record in after.prototypes]
    old, new = before.model(), after.model()
    places = torch.tensor(kept)
    assert torch.equal(new.ownership.labels, old.ownership.labels[places])
    prototypes = [torch.cat([b.prototypes for _, b in m.named_branches()]) for m in (old, new)]
    assert torch.equal(prototypes[1], prototypes[0][places])
    for record in after.prototypes:
        origin = before.prototypes[record.original_index]
        assert (record.image_id, record.row, record.column) == (origin.image_id, origin.row, origin.column)
        assert after.picture(record.index, "patch") == before.picture(origin.index, "patch")
    assert after.command == "again"
    assert after.metrics["test_accuracy"] == result.metrics["test_accuracy"]
    verified(after, planted)
    assert content(before.path) == files


def test_branch_without_prototypes_is_no_obstacle(made, planted, tmp_path, monkeypatch):
    """All prototypes of a branch may be pruned; the rest still proves itself and can be projected again."""
    before = made("st_protopnet")
    gone = torch.tensor([record.branch == "trivial" for record in before.prototypes])
    monkeypatch.setattr("protoexplain.training.checkpoint_ops.unfaithful", lambda *rest: gone)
    pruned = prune(before.path, planted, tmp_path / "pruned", Silent(), "", epochs=2).checkpoint
    assert {record.branch for record in pruned.prototypes} == {"support"}
    verified(pruned, planted)
    verified(reproject(pruned.path, planted, tmp_path / "again", Silent(), "", 2).checkpoint, planted)


def test_pruned_again_counts_from_the_first_model(made, planted, tmp_path):
    before = made("protopnet")
    once = strictly_pruned(before, planted, tmp_path / "once").checkpoint
    again = reproject(once.path, planted, tmp_path / "again", Silent(), "", 0).checkpoint
    assert [r.original_index for r in again.prototypes] == [r.original_index for r in once.prototypes]
    verified(again, planted)


@pytest.mark.parametrize("family", ["protopnet", "st_protopnet", "evalprotopnet"])
def test_projected_checkpoint(family, made, planted, tmp_path):
    before = made(family)
    files = content(before.path)
    result = reproject(before.path, planted, tmp_path / "new", Silent(), "", 2)
    verified(result.checkpoint, planted)
    assert {"test_accuracy_before", "test_accuracy_projected", "test_accuracy"} <= set(result.metrics)
    old, new = before.model(), result.checkpoint.model()
    for (_, one), (_, two) in zip(old.named_branches(), new.named_branches(), strict=True):
        if family == "protopnet":  # nothing is nearer to a patch than itself, but another may be longer
            torch.testing.assert_close(one.prototypes, two.prototypes, rtol=1e-4, atol=1e-5)
        assert not torch.equal(one.head.weight, two.head.weight), "the last layer was refitted"
    assert content(before.path) == files


@pytest.mark.parametrize("work", [reproject, prune])
def test_every_picture_is_looked_at_once(work, made, planted, tmp_path, monkeypatch):
    """Patches, activations of the refit, nearest images and accuracies all come from one pass over each split."""
    before, read, pixels = made("protopnet"), Counter(), ImageDataset.pixels

    def counted(dataset, index):
        assert dataset.augmentation.name == "none"
        read[dataset.records[index].id] += 1
        return pixels(dataset, index)

    monkeypatch.setattr(ImageDataset, "pixels", counted)
    options = {"epochs": 3} if work is reproject else {"epochs": 3, "threshold": 0}
    work(before.path, planted, tmp_path / "new", Silent(), "", **options)
    data = view_of_run(before.config.data, planted)
    assert data.validation
    assert read == Counter(record.id for part in (data.train, data.validation, data.test) for record in part)


@pytest.mark.parametrize("family", ["protopnet", "st_protopnet", "evalprotopnet"])
def test_numbers_are_those_of_passes_over_the_pictures(family, made, planted, tmp_path):
    """Accuracies and findings come from latent maps, and are the same as of the new checkpoint on its pictures."""
    before = made(family)
    result = reproject(before.path, planted, tmp_path / "new", Silent(), "", 3)
    after, data = result.checkpoint, view_of_run(before.config.data, planted)
    for checkpoint, name in ((before, "test_accuracy_before"), (after, "test_accuracy")):
        assert result.metrics[name] == pytest.approx(evaluate(checkpoint, planted).accuracy)
    dataset = data.dataset(data.train, before.config.data)
    (batch,) = batches(dataset, range(len(dataset)), len(dataset))
    seen = latent_batches(after.model(), [(batch.images[:, 0], batch.labels, batch.indices)])
    nearest = responses(after.model(), seen, len(dataset)).nearest
    found = diagnose(after.model(), after.prototypes, data.train, data.crop, nearest)
    assert result.findings == found
    assert "other classes" in {finding.kind for finding in found}


def test_without_epochs_the_head_stays(made, planted, tmp_path):
    before = made("protopnet")
    after = reproject(before.path, planted, tmp_path / "new", Silent(), "", 0).checkpoint
    heads = [checkpoint.model().branches["main"].head.weight for checkpoint in (before, after)]
    assert torch.equal(*heads)


class TestRefusals:
    def test_family_that_writes_nothing(self, made, planted, tmp_path):
        with pytest.raises(UserError, match="does not write patches"):
            reproject(made("cbc").path, planted, tmp_path / "new", Silent(), "")
        with pytest.raises(UserError, match="all classes share"):
            prune(made("cbc").path, planted, tmp_path / "new", Silent(), "")
        assert not (tmp_path / "new").exists()

    def test_everything_would_go(self, made, planted, tmp_path):
        with pytest.raises(UserError, match="every prototype"):
            prune(made("protopnet").path, planted, tmp_path / "new", Silent(), "", k=3, threshold=4)

    def test_existing_folder(self, made, planted, tmp_path):
        for work in (reproject, prune):
            with pytest.raises(UserError, match="exists"):
                work(made("protopnet").path, planted, tmp_path, Silent(), "")

    def test_place_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").touch()
        for work in (reproject, prune):
            with pytest.raises(UserError, match="cannot write"):
                work(tmp_path / "not even a checkpoint", tmp_path, tmp_path / "file" / "new", Silent(), "")

    def test_other_classes(self, made, tmp_path):
        draw(tmp_path / "two", classes=2, train_per_class=1, test_per_class=1, size=32)
        for work in (reproject, prune):
            with pytest.raises(UserError, match="2 classes"):
                work(made("protopnet").path, tmp_path / "two", tmp_path / "new", Silent(), "")

    def test_checkpoint_that_was_changed(self, made, planted, tmp_path):
        damaged = shutil.copytree(made("protopnet").path, tmp_path / "damaged")
        (damaged / "model.safetensors").write_bytes(b"x")
        with pytest.raises(UserError, match=r"model\.safetensors"):
            prune(damaged, planted, tmp_path / "new", Silent(), "")
        assert Checkpoint.load(made("protopnet").path).prototypes
