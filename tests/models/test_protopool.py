"""ProtoPool: the published schedule, slots that choose, prototypes that no class chose, mixed pictures."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from tiny_runs import BACKBONE, open_run, run_log, tiny_config, tiny_train

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.models.families.protopool import FAMILY, ProtoPoolSchedule
from protoexplain.models.families.protopool.network import MIXED, MixedOutput, ProtoPool
from protoexplain.models.slots import SlotHead, chosen_most, log_assignment
from protoexplain.models.stage import Annealing
from protoexplain.training.stage_inputs import input_kind

SMALL = {"prototypes": 10, "slots": 3, "prototype_channels": 8}


def head_of(choices: list[list[int]], prototypes: int) -> SlotHead:
    """Slots [C,S] that choose these prototypes, with weights of which no two are equal."""
    chosen = torch.tensor(choices)
    head = SlotHead(prototypes, *chosen.shape)
    head.slot_logits.data.scatter_(1, chosen[:, None], 1.0)
    head.weight.data += torch.rand(head.weight.shape, generator=torch.Generator().manual_seed(0))
    return head


def tiny(**changes: object) -> ProtoPool:
    torch.manual_seed(0)
    return FAMILY.build(FAMILY.config(**{**SMALL, "backbone": BACKBONE, **changes}), 3, load_weights=False)


def test_published_schedule():
    warm, joint, last = FAMILY.stages(ProtoPoolSchedule(lr_slots=2e-3))
    assert (warm.epochs, joint.epochs, last.epochs) == (9, 31, 25)
    assert (warm.project, joint.project, last.project) == (False, True, False)
    assert warm.lr == {"addon": 1.5e-3, "prototypes": 1.5e-3, "slots": 2e-3}
    assert joint.lr == {**warm.lr, "backbone": 5e-5}
    assert (warm.weight_decay, last.weight_decay) == ({"addon": 1e-3}, {"head": 1e-3})
    assert warm.losses == {MIXED: 1.0, "cluster": 0.8, "separation": -0.08, "orthogonality": 1.0, "l1": 1e-4}
    assert last.losses == {MIXED: 1.0, "l1": 1e-4}
    assert [joint.decay["slots"].multiplier(n) for n in (1, 5, 6, 10, 11)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert [last.decay["head"].multiplier(n) for n in (5, 6, 11)] == pytest.approx([1, 0.95, 0.95**2])
    assert warm.annealing == Annealing(begun=0, over=30)
    assert joint.annealing == Annealing(begun=9, over=30)
    assert (warm.annealing.done(1), joint.annealing.done(1), joint.annealing.done(25)) == (1 / 30, 10 / 30, 1)
    assert joint.scaled(10, 1 / 3).annealing == Annealing(begun=3, over=10)
    assert "cross_entropy" in FAMILY.stages(ProtoPoolSchedule(mixup=False))[0].losses


@pytest.mark.parametrize(
    ("wrong", "told"), [({"prototypes": 3}, "more prototypes than a class has slots"), ({"start": "means"}, "random")]
)
def test_what_no_pool_can_be(wrong, told):
    with pytest.raises(ValidationError, match=told):
        FAMILY.config(**{**SMALL, **wrong})


def test_prototypes_belong_to_the_classes_that_chose_them():
    head = head_of([[0, 1], [1, 3], [1, 1]], 5)
    head.slot_logits.data[2, 4, 0] = 0.9
    owners = [head.ownership().owners(p) for p in range(5)]
    assert owners[:2] == [(0,), None]
    assert owners[3:] == [(1,), (2,)], "the last was chosen by none, and nearly by class 2"
    weights = head.class_weights()
    torch.testing.assert_close(weights[:, 1], head.weight[:, [1, 2, 4, 5]].sum(1), msg="two slots count twice")
    assert not weights[:, [2, 4]].any()


def test_slots_of_dropped_prototypes_stay_empty():
    head = head_of([[0, 1], [1, 3], [2, 0]], 4)
    before = head.class_weights().detach()
    kept = torch.tensor([1, 2, 3])
    head.select(kept)
    assert torch.equal(head.class_weights(), before[:, kept])
    head.select(torch.tensor([0]))
    assert torch.equal(head.class_weights(), before[:, [1]])
    assert head.filled.tolist() == [[False, True], [True, False], [False, False]]


@torch.no_grad()
def test_merged_prototypes_are_chosen_by_the_slots_of_all():
    model = tiny().eval()
    model.head.slot_logits.data = head_of([[0, 1, 2], [1, 3, 8], [2, 0, 9]], 10).slot_logits.data
    into = torch.arange(10)
    into[[0, 3]] = 2
    before = model.class_weights()
    model.merge(into)
    expected = torch.zeros_like(before).index_add_(1, into, before)[:, into.unique()]
    torch.testing.assert_close(model.class_weights(), expected)
    assert model.ownership.owners(1) is None
    assert not model.unused[[0, 1, 6, 7]].any()


def test_a_place_that_two_slots_leave_goes_to_the_next_prototype():
    """Where the share of the others is rounded to nothing."""
    logits = torch.zeros(1, 6, 2)
    logits[0, 4] = 1.0
    logits[0, 2, 1] = 0.5
    own = chosen_most(log_assignment(logits, 1000.0), torch.tensor([0, 0]))
    assert own.nonzero()[:, 1].tolist() == [2, 4, 2, 4]


def test_slots_are_shares_while_they_are_trained():
    model, images = tiny().train(), torch.rand(4, 3, 64, 64)
    model.anneal(1e-6)
    features = model.backbone.eval()(images)
    assert not torch.equal(model.from_features(features).logits, model.from_features(features).logits)
    model.head.slot_logits.requires_grad_(False)
    chosen = model.from_features(features).logits
    assert torch.equal(chosen, model.from_features(features).logits)
    torch.testing.assert_close(chosen, model.from_activations(model.activations(features)).logits)


def test_mixed_pictures():
    model, images, labels = tiny().train(), torch.rand(4, 3, 64, 64), torch.tensor([0, 1, 2, 0])
    output = model.from_images(images, frozenset({MIXED}))
    assert isinstance(output, MixedOutput)
    assert sorted(output.order.tolist()) == [0, 1, 2, 3]
    assert 0 <= float(output.share) <= 1
    plain = model.from_images(images, frozenset({"cross_entropy"}))
    assert not isinstance(plain, MixedOutput)
    terms = model.loss_terms(plain, labels, frozenset({MIXED, "cross_entropy"}))
    assert torch.equal(terms[MIXED], terms["cross_entropy"])


@pytest.mark.parametrize(("mixup", "kinds"), [(True, ["images"] * 3), (False, ["features", "images", "activations"])])
def test_mixed_pictures_are_not_cached(mixup, kinds, planted, tmp_path):
    run = open_run(tiny_config("protopool"), planted, tmp_path)
    stages = FAMILY.stages(ProtoPoolSchedule(mixup=mixup))
    assert [input_kind(run, stage, frozenset(stage.lr)) for stage in stages] == kinds


def test_prototypes_that_no_class_chose_are_dropped(planted, tmp_path):
    schedule = {"warm_epochs": 1, "projections": [0, 1], "last_layer_epochs": 1, "mixup": False}
    changes = {"schedule": schedule, "model": {**SMALL, "prototypes": 30}, "training": {"merge": 0.99}}
    made = tiny_train("protopool", planted, tmp_path / "run", **changes).checkpoint
    fewer = [line for line in run_log(tmp_path / "run") if "prototypes_before" in line]
    assert [line["stage"] for line in fewer[:2]] == ["unused", "merge"]
    assert [line["prototypes_before"] for line in fewer] == [30, *(line["prototypes"] for line in fewer[:-1])]
    assert fewer[0]["prototypes"] <= 12, "as many as slots"
    loaded = Checkpoint.load(made.path)
    model = loaded.model()
    assert not model.unused.any()
    numbers = [record.original_index for record in loaded.prototypes]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == model.num_prototypes == fewer[-1]["prototypes"]
    assert [record.owners for record in loaded.prototypes] == [
        model.ownership.owners(p) for p in range(model.num_prototypes)
    ]
    assert any(record.owners is None or len(record.owners) > 1 for record in loaded.prototypes), "some are shared"
