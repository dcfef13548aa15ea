"""Prototypes that fire together become one, which their classes share."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_runs import open_run, run_log, tiny_config, tiny_train

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.dataset_view import view_of_run
from protoexplain.errors import UserError
from protoexplain.progress import Silent
from protoexplain.training.checkpoint_ops import reproject
from protoexplain.training.merge import merged_by
from protoexplain.training.schedule import stages_of
from protoexplain.training.verify import verify

MERGE = {"merge": 0.9}


def test_only_what_fires_together_is_merged_within_its_branch():
    torch.manual_seed(0)
    one, two = torch.rand(2, 50)
    activations = torch.stack([one, two, 3 * one + 1, two + 0.01 * torch.rand(50), torch.ones(50), one], 1)
    into = merged_by(activations, [5, 1], 0.95)
    assert into[0] == into[2]
    assert into[1] == into[3]
    assert into[[4, 5]].tolist() == [4, 5], "what never changes and what another branch has stay"
    assert len(into.unique()) == 4


@settings(max_examples=30, deadline=None)
@given(prototypes=st.integers(2, 12), images=st.integers(2, 20), level=st.floats(0.05, 1), seed=st.integers(0, 99))
def test_any_two_of_a_group_are_correlated_as_highly_as_asked(prototypes, images, level, seed):
    generator = torch.Generator().manual_seed(seed)
    activations = torch.rand(images, prototypes, generator=generator)
    into = merged_by(activations, [prototypes], level)
    assert torch.equal(into[into], into), "who stands for others stays"
    correlations = torch.from_numpy(np.corrcoef(activations.T.double()))
    together = (into[:, None] == into) & ~torch.eye(prototypes, dtype=torch.bool)
    assert (correlations[together] >= level - 1e-9).all()


def test_the_last_projection_merges_first():
    plain = stages_of(tiny_config("protopnet", schedule={"projections": [0, 1]}))
    merging = stages_of(tiny_config("protopnet", schedule={"projections": [0, 1]}, training=MERGE))
    assert len(merging) == len(plain) + 1
    assert [stage.merge for stage in merging if stage.project] == [None, 0.9]
    assert sum(stage.epochs for stage in merging) == sum(stage.epochs for stage in plain)


@pytest.mark.parametrize("family", ["st_protopnet", "tesnet"])
@pytest.mark.parametrize(
    ("training", "start", "key"),
    [(MERGE, "random", "training.merge"), ({"fine_tuning": {"steady": 0.5}}, "parts", "training.fine_tuning.steady")],
)
def test_costs_that_compare_classes_end_where_prototypes_are_dropped(family, training, start, key):
    going_on = {"schedule": {"epochs": 6, "end_projected": False}, "training": training}
    with pytest.raises(UserError, match="fewer prototypes than others") as refused:
        stages_of(tiny_config(family, **going_on, model={"start": start}))
    assert refused.value.where == key
    assert stages_of(tiny_config(family, training=training, model={"start": start}))
    assert stages_of(tiny_config("protopnet", schedule={"projections": [1, 2]}, training=training))


@pytest.fixture(scope="module")
def twins(planted, tmp_path_factory):
    """A run so loosely merged that some of its prototypes become one."""
    out = tmp_path_factory.mktemp("merged") / "run"
    return tiny_train("st_protopnet", planted, out, training={"merge": 0.9}).checkpoint


def test_trained_with_fewer_prototypes_that_several_classes_share(twins, planted):
    config = twins.config
    fresh = open_run(config, planted, twins.path.parent).model
    assert 0 < len(twins.prototypes) < fresh.num_prototypes
    several = [record for record in twins.prototypes if record.classes]
    assert several
    model = twins.model()
    for record in twins.prototypes:
        assert model.ownership.owners(record.index) == record.owners
    names = {twins.owner_name(record.index) for record in several}
    assert all(" and " in str(name) for name in names)
    row = next(row for row in run_log(twins.path.parent) if row["stage"] == "merge")
    assert (row["prototypes_before"], row["prototypes"]) == (fresh.num_prototypes, len(twins.prototypes))
    labels = {image.id: image.label for image in view_of_run(config.data, planted).train}
    assert all(record.belongs_to(labels[record.image_id]) for record in twins.prototypes if record.image_id)
    report = verify(twins, view_of_run(config.data, planted))
    assert report.passed, report.as_text()


def test_finished_checkpoint_is_merged_anew(twins, planted, tmp_path):
    result = reproject(twins.path, planted, tmp_path / "new", Silent(), "again", 2, merge=0.1)
    after = result.checkpoint
    assert result.metrics["prototypes_merged"] == len(twins.prototypes) - len(after.prototypes) > 0
    kept = [record.original_index for record in after.prototypes]
    assert set(kept) <= {record.original_index for record in twins.prototypes}
    before, model = twins.model(), after.model()
    places = [record.original_index for record in twins.prototypes]
    owned = before.ownership.owned[[places.index(index) for index in kept]]
    assert (model.ownership.owned >= owned).all(), "nobody loses a prototype that stays"
    assert torch.equal(model.ownership.owned.any(0), before.ownership.owned.any(0))
    report = verify(Checkpoint.load(after.path), view_of_run(after.config.data, planted))
    assert report.passed, report.as_text()


@pytest.mark.parametrize("family", ["cbc", "nonparametric"])
def test_prototypes_that_are_no_patches_are_merged_and_stay_as_they_are(family, tiny_checkpoint, planted, tmp_path):
    before = Checkpoint.load(tiny_checkpoint(family))
    result = reproject(before.path, planted, tmp_path / "new", Silent(), "", 2, merge=0.1)
    after = Checkpoint.load(result.checkpoint.path)
    assert result.metrics["prototypes_merged"] == len(before.prototypes) - len(after.prototypes) > 0
    assert "test_accuracy_merged" in result.metrics
    kept = [record.original_index for record in after.prototypes]
    (_, old), (_, new) = (next(iter(each.model().named_branches())) for each in (before, after))
    assert torch.equal(new.prototypes, old.prototypes[kept])
    assert after.before_projection() == {}
    assert all(record.image_id for record in after.prototypes)
    report = verify(after, view_of_run(after.config.data, planted))
    assert report.passed, report.as_text()
