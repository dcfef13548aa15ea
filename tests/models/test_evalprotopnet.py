"""EvalProtoPNet: the published schedule, and a shallow map only where alignment asks for it."""

from __future__ import annotations

import pytest
import torch
from tiny_runs import BACKBONE, run_log, tiny_train

from protoexplain.models.families.evalprotopnet import FAMILY, EvalProtoPNetSchedule
from protoexplain.models.families.evalprotopnet.network import EvalProtoPNet
from protoexplain.models.heads import LinearHead
from protoexplain.training.engine import set_learning_rates


def tiny(**changes: object) -> EvalProtoPNet:
    torch.manual_seed(0)
    config = FAMILY.config(backbone=BACKBONE, prototypes_per_class=2, prototype_channels=8, **changes)
    return FAMILY.build(config, 3, load_weights=False)


def test_published_schedule():
    warm, joint, last = FAMILY.stages(EvalProtoPNetSchedule())
    assert (warm.epochs, joint.epochs, last.epochs) == (5, 7, 0)
    assert (warm.project, joint.project) == (False, True)
    assert warm.losses == {"cross_entropy": 1.0, "cluster": 0.8, "separation": -0.08, "orthogonality": 1e-4}
    assert joint.losses == {**warm.losses, "alignment": 0.5}
    assert warm.lr == {"addon": 3e-3, "prototypes": 3e-3, "head": 1e-6}
    assert joint.lr == {**warm.lr, "backbone": 1e-4}
    optimizer = torch.optim.Adam([{"params": [torch.zeros(1)], "name": "backbone"}])
    rates = []
    for epoch in range(1, joint.epochs + 1):
        set_learning_rates(optimizer, joint, epoch)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-4, 1e-4, 2e-5, 2e-5, 2e-5, 4e-6, 4e-6])


def test_without_projection_the_joint_stage_ends_training():
    warm, joint = FAMILY.stages(EvalProtoPNetSchedule(projections=()))
    assert (warm.epochs, joint.epochs) == (5, 7)
    assert not joint.project


def test_a_run_without_projection_illustrates_its_prototypes(planted, tmp_path):
    schedule = {"epochs": 3, "warm_epochs": 1, "projections": []}
    checkpoint = tiny_train("evalprotopnet", planted, tmp_path / "run", schedule=schedule).checkpoint
    lines = run_log(tmp_path / "run")
    assert [(line["stage"], "alignment" in line) for line in lines] == [
        ("warm", False), ("joint", True), ("joint", True),
    ]  # fmt: skip
    assert all(record.image_id and not record.projected for record in checkpoint.prototypes)


@pytest.mark.parametrize(("names", "called"), [({"cluster"}, False), ({"cluster", "alignment"}, True)])
def test_the_shallow_map_is_taken_for_alignment_alone(names, called, monkeypatch):
    model, images, labels = tiny(), torch.rand(2, 3, 64, 64), torch.tensor([0, 2])
    taken = []
    monkeypatch.setattr(
        model.backbone,
        "with_shallow",
        lambda x, stride: taken.append(stride) or type(model.backbone).with_shallow(model.backbone, x, stride),
    )
    output = model.from_images(images, frozenset(names))
    assert taken == [4] * called
    assert set(model.loss_terms(output, labels, frozenset(names))) == names


def test_alignment_trains_the_backbone_alone():
    model, names = tiny().train(), frozenset({"alignment"})
    terms = model.loss_terms(model.from_images(torch.rand(2, 3, 64, 64), names), torch.tensor([0, 2]), names)
    terms["alignment"].backward()
    moved = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {"backbone"}


def test_prototypes_are_unit_vectors_from_the_start_and_after_steps():
    model = tiny()
    _, branch = model.named_branches()[0]
    for _ in range(2):
        torch.testing.assert_close(branch.prototypes.flatten(1).norm(dim=1), torch.ones(6))
        branch.prototypes.data *= 3
        model.constrain(frozenset({"backbone"}))
        assert branch.prototypes.flatten(1).norm(dim=1).min() > 2
        model.constrain(frozenset({"prototypes"}))


def test_linear_head_for_comparison():
    _, branch = tiny(head="linear").named_branches()[0]
    assert type(branch.head) is LinearHead
    assert branch.head.class_weights()[0].tolist() == [1, 1, -0.5, -0.5, -0.5, -0.5]
