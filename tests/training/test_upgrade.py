"""An old checkpoint learns what is usual, where its prototypes are active and which images it learned from; all else
stays as it was."""

import shutil
from dataclasses import replace

import pytest
import torch
from patch_maps import assert_maps_fit, marked
from statistics_of_images import knows_its_images
from tiny_runs import same_tensors

from protoexplain.checkpoint.checkpoint import Checkpoint, add_metrics
from protoexplain.checkpoint.file_names import ACTIVATIONS, MAPS, SPLIT, THUMBS
from protoexplain.checkpoint.prototypes import parse_contents
from protoexplain.errors import UserError
from protoexplain.explanations.evidence.counting import WITHOUT_STATISTICS
from protoexplain.explanations.explainer import Explainer
from protoexplain.io.manifest import MANIFEST, manifest_of
from protoexplain.planted import draw
from protoexplain.regions.box_rules import PUBLISHED
from protoexplain.training.upgrade import upgrade

ADDED = {ACTIVATIONS, MAPS, SPLIT}


@pytest.fixture(scope="module")
def trained(tiny_checkpoint):
    return Checkpoint.load(tiny_checkpoint("st_protopnet"))


@pytest.fixture
def old(trained, tmp_path):
    """As it was before there were statistics, maps and lists of images."""
    folder = shutil.copytree(trained.path, tmp_path / "old")
    for name in ADDED:
        (folder / name).unlink()
    (folder / "prototypes.json").write_text(
        (folder / "prototypes.json").read_text().replace('"format": 3', '"format": 2')
    )
    return rewritten(folder)


def rewritten(folder):
    """The checkpoint in a folder whose files were changed by hand."""
    (folder / MANIFEST).write_text(manifest_of(folder).to_json())
    return Checkpoint.load(folder)


def test_statistics_are_added_and_nothing_else(trained, old, planted, tmp_path):
    knows_its_images(trained, planted)
    assert old.model().statistics is None
    assert Explainer(old).notices == (WITHOUT_STATISTICS,)
    new = upgrade(old.path, planted, tmp_path / "new")
    knows_its_images(new, planted)
    assert Explainer(new).notices == ()
    assert new.weights_sha256 == old.weights_sha256
    assert same_tensors(new.model().state_dict(), old.model().state_dict())
    files = [path.relative_to(new.path) for path in new.path.rglob("*") if path.is_file()]
    same = [f for f in files if str(f) not in {*ADDED, "prototypes.json", MANIFEST}]
    assert len(same) == len(files) - 5
    assert all((new.path / f).read_bytes() == (old.path / f).read_bytes() for f in same)
    assert (new.path / "prototypes.json").read_bytes() == (trained.path / "prototypes.json").read_bytes()


def test_images_and_maps_are_those_of_the_training(trained, old, planted, tmp_path):
    assert old.split_ids() is None
    new = upgrade(old.path, planted, tmp_path / "new")
    assert new.split_ids() == trained.split_ids()
    assert_maps_fit(new)
    for found, expected in zip(new.prototype_maps(), trained.prototype_maps(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_boxes_are_drawn_by_the_rule_of_today(trained, old, planted, tmp_path):
    """The checkpoint recorded others; the pictures of patches are cut anew where they lie elsewhere."""
    contents = parse_contents((old.path / "prototypes.json").read_bytes(), "")
    published = replace(contents, prototypes=marked(trained, PUBLISHED))
    (old.path / "prototypes.json").write_bytes(published.to_json())
    before = rewritten(old.path)
    moved = [r.index for r, now in zip(before.prototypes, trained.prototypes, strict=True) if r != now]
    assert moved
    for index in moved:
        (old.path / THUMBS / before.prototypes[index].patch).write_bytes(trained.picture(index, "source"))
    new = upgrade(rewritten(old.path).path, planted, tmp_path / "new")
    assert new.prototypes == trained.prototypes
    assert [new.picture(index, "patch") for index in range(len(new.prototypes))] == [
        trained.picture(index, "patch") for index in range(len(new.prototypes))
    ]


def test_measurements_come_along(old, planted, tmp_path):
    add_metrics(old, {"interpretability": {"accuracy": {"value": 0.5}}})
    new = upgrade(old.path, planted, tmp_path / "new")
    assert new.metrics["interpretability"] == {"accuracy": {"value": 0.5}}


def test_notice_reaches_the_explanation(old, planted):
    bird = next((planted / "images").rglob("*.jpg"))
    explanation = Explainer(old).explain(bird).explanation
    assert WITHOUT_STATISTICS in explanation.notices
    assert explanation.evidence == "product"
    assert explanation.classes[0].found[0].heat_range is None
    assert Explainer(old, evidence="product").explain(bird).explanation.notices == ()


def test_other_data_and_existing_folders_are_refused(old, planted, tmp_path):
    draw(tmp_path / "birds", classes=4, train_per_class=2, test_per_class=1, size=32)
    with pytest.raises(UserError, match="not the data set"):
        upgrade(old.path, tmp_path / "birds", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(UserError, match="under this name"):
        upgrade(old.path, planted, tmp_path)
