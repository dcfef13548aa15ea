"""TesNet: the published schedule, prototypes of unit length, and evidence beyond a cosine."""

from __future__ import annotations

import pytest
import torch
from tiny_runs import maps_of, open_run, tiny_config, tiny_model

from protoexplain.models.families.tesnet import FAMILY, TesNetSchedule
from protoexplain.training.train_stage import train_stage

PUBLISHED = {"cluster": 0.8, "separation": -0.08, "orthogonality": 1e-4, "subspace_separation": -1e-7}


def test_published_schedule():
    warm, joint, last = FAMILY.stages(TesNetSchedule())
    assert [(stage.epochs, stage.project) for stage in (warm, joint, last)] == [(5, False), (6, True), (20, False)]
    assert warm.lr == {"addon": 3e-3, "prototypes": 3e-3}
    assert joint.lr == {**warm.lr, "backbone": 1e-4}
    assert last.lr == {"head": 1e-4}
    assert joint.losses == {"cross_entropy": 1, "l1": 1e-4, **PUBLISHED}
    assert last.losses == {"cross_entropy": 1, "l1": 1e-4}
    everything = FAMILY.stages(TesNetSchedule(end_projected=False))
    assert [stage.epochs for stage in everything] == [5, 6, 20, 9]
    decay = everything[-1].decay["backbone"]
    assert [decay.multiplier(n) for n in (4, 5, 9, 10, 14, 15)] == pytest.approx([1, 0.1, 0.1, 0.01, 0.01, 0.001])


def test_prototypes_have_unit_length_and_scores_do_not(planted, tmp_path):
    """Through training and projection; what is compared keeps its own length, so that a score may pass 1."""
    run = open_run(tiny_config("tesnet", model={"prototype_channels": 64}), planted, tmp_path)
    ((_, branch),) = run.model.named_branches()
    one = torch.ones(len(branch.prototypes))
    for stage in FAMILY.stages(run.config.schedule)[:2]:
        torch.testing.assert_close(branch.prototypes.detach().flatten(1).norm(dim=1), one)
        train_stage(run, stage)
        run.end_stage()
    torch.testing.assert_close(branch.prototypes.detach().flatten(1).norm(dim=1), one)
    with torch.no_grad():
        maps = maps_of(run.model.eval(), run.model.backbone(torch.rand(2, 3, 64, 64)))
    assert 1 < float(maps.max()) < 8


def test_costs_compare_directions_alone():
    model = tiny_model(tiny_config("tesnet"))
    features, labels = model.backbone(torch.rand(2, 3, 64, 64)), torch.tensor([0, 1])
    ((_, branch),) = model.named_branches()
    names = frozenset({"cluster", "separation", "cross_entropy"})
    terms = model.loss_terms(model.from_features(features), labels, names)
    z = branch.addon(features)
    branch.addon.register_forward_hook(lambda *_: z / 2)
    halved = model.loss_terms(model.from_features(features), labels, names)
    for name in names:
        assert torch.allclose(terms[name], halved[name]) == (name != "cross_entropy")
