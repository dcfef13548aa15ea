"""ProtoTree: the published schedule, what holds in every tree, pruned trees in checkpoints, ways through a tree."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from explained_pictures import explain
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_runs import grown, run_log, tiny_config, tiny_model, tiny_train

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.geometry import Geometry
from protoexplain.explanations.evidence.counterfactual import what_would_change
from protoexplain.explanations.forward_pass import run_forward
from protoexplain.models.families.prototree import FAMILY, ProtoTreeSchedule
from protoexplain.models.trees import TreeHead, arrivals, pre_order
from protoexplain.view.sentences import about_absence, about_route

NAMES = ("Wren", "Robin", "Crow", "Tit")
CLASSES = torch.arange(4)
seeds = st.integers(0, 2**31 - 1)


def random_head(seed: int, depth: int = 3, images: float = 5.0) -> TreeHead:
    """Leaves that have seen up to so many images of each class."""
    torch.manual_seed(seed)
    head = TreeHead(depth, len(CLASSES)).double()
    head.counts = torch.rand(head.counts.shape, dtype=torch.float64) * images
    return head


def random_activations(head: TreeHead, batch: int = 6) -> torch.Tensor:
    """Also of prototypes that are surely found, or not at all."""
    return (torch.rand(batch, head.prototypes, dtype=torch.float64) * 1.2 - 0.1).clamp(0, 1)


def test_published_schedule():
    warm, joint = FAMILY.stages(ProtoTreeSchedule())
    assert (warm.name, warm.epochs, warm.project) == ("joint", 30, False)
    assert (joint.name, joint.epochs, joint.project) == ("joint", 70, True)
    assert warm.lr == {"addon": 1e-3, "prototypes": 1e-3, "backbone": 1e-3}
    assert joint.lr == {**warm.lr, "lower": 1e-5}
    assert (joint.optimizer, joint.epsilon, joint.weight_decay) == ("adamw", 1e-7, {})
    assert [joint.decay["lower"].multiplier(n) for n in (60, 61, 91, 100)] == [1, 0.5, 0.0625, 0.0625]
    assert set(FAMILY.stages(ProtoTreeSchedule(lr_lower=0, lr_backbone=0))[1].lr) == {"addon", "prototypes"}


def test_pre_order():
    assert pre_order(3).tolist() == [0, 1, 4, 2, 3, 5, 6]


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
@torch.no_grad()
def test_what_holds_in_every_tree(seed):
    """Before and after prototypes were dropped, merged and cut off."""
    head = random_head(seed)
    for change in (
        lambda: None,
        lambda: head.select(torch.tensor([0, 2, 3, 5, 6])),
        lambda: head.merge(torch.tensor([0, 1, 1, 3, 0])),
        lambda: head.prune(0.6),
    ):
        change()
        activations = random_activations(head)
        scores, reached = head(activations), head.log_arrival(activations).exp()
        torch.testing.assert_close(reached, arrivals(head.right(activations))[-1], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(reached.sum(1), torch.ones(6).double())
        torch.testing.assert_close(scores.sum(1), torch.ones(6).double())
        assert not reached[:, ~head.reachable()].gt(1e-9).any()
        evidence = head.evidence(activations, CLASSES)
        torch.testing.assert_close(evidence.total(), scores, rtol=0, atol=1e-9)
        for part in (evidence.presence, evidence.absence):
            torch.testing.assert_close(part.sum(2), torch.zeros_like(part[..., 0]), rtol=0, atol=1e-9)
        labels = scores.argmax(1)
        torch.testing.assert_close(head.log_likelihood(activations, labels).exp(), scores.amax(1))


@settings(max_examples=25, deadline=None)
@given(seed=seeds, epochs=st.integers(1, 3), sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_leaves_count_the_images_of_an_epoch(seed, epochs, sizes):
    head = random_head(seed)
    for _ in range(epochs):
        head.begin_epoch(len(sizes), 0)
        for size in sizes:
            before = head.counts.clone()
            head.observe(random_activations(head, size), torch.randint(4, (size,)))
            assert torch.equal(head.counts, before), "not before the step"
            head.update()
        head.update()
        assert float(head.counts.sum()) == pytest.approx(sum(sizes))
        assert float(head.counts.min()) >= 0


def test_an_epoch_that_goes_on_forgets_what_was_before_it():
    head = random_head(0)
    head.begin_epoch(2, 0)
    before = head.counts_before.clone()
    head.counts = head.counts + 1
    head.begin_epoch(2, 1)
    assert torch.equal(head.counts_before, before)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, threshold=st.floats(0.25, 1.0))
@torch.no_grad()
def test_no_weak_leaf_is_left(seed, threshold):
    head = random_head(seed, depth=4)
    strong = head.distributions.amax(1) > threshold
    head.prune(threshold)
    assert torch.equal(head.reachable(), strong if strong.sum() > 1 else torch.ones_like(strong))
    assert int((head.rows >= 0).sum()) == int(head.reachable().sum()) - 1
    rows, fixed = head.rows.clone(), head.fixed.clone()
    head.prune(threshold)
    assert torch.equal(head.rows, rows)
    assert torch.equal(head.fixed, fixed)


def test_class_weights_are_slopes_on_the_usual_ways():
    head = random_head(1)
    usual = head.usual()[0][pre_order(3).argsort()].requires_grad_()
    for label in range(4):
        (slope,) = torch.autograd.grad(head(usual[None])[0, label], usual)
        torch.testing.assert_close(head.class_weights()[label], slope)


def test_dropped_prototypes_are_passed_as_usual():
    head = random_head(2)
    usual = head.usual()[0][pre_order(3).argsort()]
    activations = random_activations(head)
    activations[:, [1, 4]] = usual[[1, 4]]
    before, kept = head(activations), torch.tensor([0, 2, 3, 5, 6])
    head.select(kept)
    torch.testing.assert_close(head(activations[:, kept]), before)


def test_prototypes_belong_to_the_leaves_below():
    head = random_head(0)
    head.counts = 3.0 * torch.nn.functional.one_hot(torch.tensor([0, 0, 1, 2, 3, 3, 3, 3]), 4)
    owners = [head.ownership().owners(p) for p in range(7)]
    assert owners == [None, (0, 1, 2), (0,), (1, 2), (3,), (3,), (3,)]
    head.counts.zero_()
    assert head.ownership().all_shared, "leaves that know nothing are of no class more than of another"


def test_leaves_that_know_nothing_are_not_cut_off_with_the_whole_tree():
    head = TreeHead(2, 4)
    head.prune(0.5)
    assert head.rows.tolist() == [0, 1, 2]


def test_pruned_trees_in_checkpoints(planted, tmp_path):
    shape, schedule = {"depth": 4, "pruning": 1.05}, {"warm_epochs": 2, "joint_epochs": 2}
    changes = {"model": shape, "schedule": schedule, "data": {"augmentation": "light"}}
    made = tiny_train("prototree", planted, tmp_path / "run", **changes).checkpoint
    (fewer,) = (line for line in run_log(tmp_path / "run") if "prototypes_before" in line)
    assert (fewer["stage"], fewer["prototypes_before"]) == ("unused", 15)
    loaded = Checkpoint.load(made.path)
    model = loaded.model()
    assert model.num_prototypes == fewer["prototypes"] == len(loaded.prototypes) < 15
    assert not model.unused.any()
    head = model.head
    assert float(head.counts.sum()) == pytest.approx(loaded.metrics["train_images"], rel=1e-4)
    assert [record.owners for record in loaded.prototypes] == [
        model.ownership.owners(p) for p in range(model.num_prototypes)
    ]
    weak = head.distributions.amax(1) <= model.weakest
    assert not (weak & head.reachable()).any()


def test_the_way_is_told():
    model = tiny_model(tiny_config("prototree"))
    explanation = explain(model, torch.rand(3, 64, 64), Geometry.of((90, 70), None, 64), NAMES, image="x.jpg")
    route = explanation.route
    assert route.decisions[0].prototype == 0
    assert len(route.decisions) == 4
    expected = torch.tensor([s.similarity if s.found else 1 - s.similarity for s in route.decisions]).prod()
    assert route.probability == pytest.approx(float(expected), rel=1e-5)
    (told,) = about_route(explanation)
    for step in route.decisions:
        assert f"prototype {step.prototype} {'found' if step.found else 'missing'} ({step.similarity:.2f})" in told
    assert NAMES[route.label] in told
    assert about_route(replace(explanation, route=None)) == []
    assert any(one.absence < 0 for one in explanation.classes[0].missing + explanation.classes[1].missing)
    assert any("missing, takes away" in line for shown in explanation.classes for line in about_absence(shown))


def test_what_would_change_names_few_prototypes():
    """Those of one way, though each depends on the others."""
    model = tiny_model(tiny_config("prototree"))
    model.head.counts = 9 * grown(16, 4)
    model.branches["main"].activation = lambda similarity: torch.exp(similarity / 8)
    found = [
        what_would_change(run_forward(model, picture, Geometry.of((64, 64), None, 64), NAMES))
        for picture in torch.rand(4, 3, 64, 64)
    ]
    changes = [change for change in found if change is not None]
    assert changes
    for change in changes:
        assert change.check() <= 1e-5
        assert change.lead > 0 > change.lead_after
        assert len(change.removed) <= 4
