"""An old checkpoint learns what is usual; all else in it stays as it was."""

import shutil

import pytest
from statistics_of_images import knows_its_images
from tiny_runs import same_tensors, tiny_train

from protoexplain.data.planted import draw
from protoexplain.errors import UserError
from protoexplain.explain.evidence import WITHOUT_STATISTICS
from protoexplain.explain.session import Explainer
from protoexplain.io.checkpoint import ACTIVATIONS, Checkpoint
from protoexplain.io.manifest import MANIFEST, manifest_of
from protoexplain.training.upgrade import upgrade

CHANGED = {ACTIVATIONS, "prototypes.json"}


@pytest.fixture(scope="module")
def trained(planted, tmp_path_factory):
    return tiny_train("st_protopnet", planted, tmp_path_factory.mktemp("upgraded") / "run").checkpoint


@pytest.fixture
def old(trained, tmp_path):
    """As it was before there were statistics."""
    folder = shutil.copytree(trained.path, tmp_path / "old")
    (folder / ACTIVATIONS).unlink()
    (folder / "prototypes.json").write_text(
        (folder / "prototypes.json").read_text().replace('"format": 3', '"format": 2')
    )
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
    same = [f for f in files if str(f) not in {*CHANGED, MANIFEST}]
    assert len(same) == len(files) - 3
    assert all((new.path / f).read_bytes() == (old.path / f).read_bytes() for f in same)
    assert (new.path / "prototypes.json").read_bytes() == (trained.path / "prototypes.json").read_bytes()


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
