"""Heads: evidence adds up to the class scores, exactly."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pretended_device import DEVICE, pretended_device

from protoexplain.models.contract import Ownership
from protoexplain.models.heads import (
    AggregationHead,
    DistanceHead,
    Head,
    LinearHead,
    RectifiedHead,
    SharedHead,
    SoftmaxHead,
)
from protoexplain.models.reasoning import IndefiniteReasoningHead, PositiveReasoningHead, ReasoningHead

KINDS = ["linear", "rectified", "softmax", "aggregation", "distance", "reasoning", "concepts", "indefinite", "positive"]


def head_of(kind: str, prototypes: int, classes: int) -> Head:
    heads = {
        "linear": lambda: LinearHead(Ownership.of_labels(torch.arange(prototypes) % classes, classes)),
        "rectified": lambda: RectifiedHead(prototypes, classes),
        "softmax": lambda: SoftmaxHead(prototypes, classes),
        "aggregation": lambda: AggregationHead(Ownership.of_labels(torch.arange(prototypes) % classes, classes)),
        "distance": lambda: DistanceHead(prototypes, classes),
        "reasoning": lambda: ReasoningHead(prototypes, classes),
        "concepts": lambda: ReasoningHead(prototypes, classes, 2),
        "indefinite": lambda: IndefiniteReasoningHead(prototypes, classes),
        "positive": lambda: PositiveReasoningHead(prototypes, classes),
    }
    return heads[kind]().double()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(1, 4),
    prototypes=st.integers(1, 30),
    classes=st.integers(1, 8),
    chosen=st.lists(st.integers(0, 7), min_size=1, max_size=5),
    seed=st.integers(0, 1000),
)
def test_evidence_adds_up(kind, batch, prototypes, classes, chosen, seed):
    torch.manual_seed(seed)
    head = head_of(kind, prototypes, classes)
    activations = torch.rand(batch, prototypes, dtype=torch.float64)
    columns = torch.tensor(chosen) % classes
    evidence = head.evidence(activations, columns)
    assert evidence.presence.shape == evidence.absence.shape == (batch, prototypes, len(columns))
    torch.testing.assert_close(evidence.total(), head(activations)[:, columns], atol=1e-12, rtol=0)


AFFINE = [kind for kind in KINDS if head_of(kind, 2, 2).affine]
"""The others have weights that are means over the concepts of a class."""


@pytest.mark.parametrize("kind", AFFINE)
def test_class_weights_are_the_derivative_of_the_scores(kind):
    torch.manual_seed(0)
    head = head_of(kind, 7, 3)
    jacobian = torch.autograd.functional.jacobian(lambda a: head(a[None])[0], torch.rand(7).double())
    torch.testing.assert_close(head.class_weights(), jacobian)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind):
    torch.manual_seed(0)
    head = head_of(kind, 5, 3)
    activations = torch.rand(2, 5, dtype=torch.float64, requires_grad=True)
    ((name, parameter),) = head.named_parameters()
    assert torch.autograd.gradcheck(
        lambda a, p: torch.func.functional_call(head, {name: p}, (a,)), (activations, parameter)
    )


def test_linear_head_starts_with_own_and_other_weights():
    head = LinearHead(Ownership.of_labels(torch.tensor([0, 0, 1]), 2))
    assert head.weight.tolist() == [[1, 1, -0.5], [-0.5, -0.5, 1]]


def test_linear_head_has_no_absence():
    evidence = head_of("linear", 4, 2).evidence(torch.rand(3, 4).double(), torch.tensor([1]))
    assert not evidence.absence.any()
    assert not evidence.bias.any()


class TestAggregation:
    owner = torch.tensor([0, 0, 0, 1, 1, 3])  # class 2 has no prototype

    def head(self) -> AggregationHead:
        head = AggregationHead(Ownership.of_labels(self.owner, 4)).double()
        head.weight.data = torch.tensor([0.3, 1.7, -0.4, 2.0, 60.0, 5.0]).double()
        return head

    def test_it_follows_the_formula(self):
        head, activations = self.head(), torch.rand(2, 6, dtype=torch.float64)
        expected = torch.zeros(2, 4, dtype=torch.float64)
        for c in (0, 1, 3):
            mine = self.owner == c
            weights = mine.sum() * head.weight.detach()[mine].softmax(0)
            expected[:, c] = activations[:, mine] @ weights
        torch.testing.assert_close(head(activations), expected)

    def test_it_starts_as_a_plain_sum(self):
        assert AggregationHead(Ownership.of_labels(self.owner, 4)).class_weights().tolist() == [
            [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1],
        ]  # fmt: skip

    def test_kept_weights_have_their_proportions_and_the_sum_of_all(self):
        head, kept = self.head(), torch.tensor([0, 2, 3, 4])
        before = head.class_weights()[0, [0, 2]]
        head.select(kept)
        weights = head.class_weights().detach()
        torch.testing.assert_close(weights.sum(1), torch.tensor([3.0, 2.0, 0.0, 0.0]).double())
        torch.testing.assert_close(weights[0, :2], 3 * before.detach() / before.sum().detach())

    def test_a_class_without_prototypes_gives_finite_gradients(self):
        head = self.head()
        head(torch.rand(2, 6, dtype=torch.float64)).square().sum().backward()
        assert head.weight.grad.isfinite().all()
        assert head.weight.grad[:3].count_nonzero() == 3
        assert head.weight.grad[5] == 0, "the only prototype of its class"


@pytest.mark.parametrize("kind", [RectifiedHead, SoftmaxHead])
def test_weights_of_shared_prototypes_start_about_one(kind):
    torch.manual_seed(0)
    head = kind(500, 20)
    assert isinstance(head, SharedHead)
    assert head.weight.mean().item() == pytest.approx(1.0, abs=0.01)
    assert head.weight.std().item() == pytest.approx(0.1, abs=0.01)


def test_rectified_weights_speak_for_a_class_or_not_at_all():
    head = RectifiedHead(3, 2)
    head.weight.data = torch.tensor([[-1.0, 0.0, 2.0], [0.5, -0.1, 0.0]])
    assert head.class_weights().tolist() == [[0.0, 0.0, 2.0], [0.5, 0.0, 0.0]]
    assert head(torch.ones(1, 3)).tolist() == [[2.0, 0.5]]


def test_softmax_weights_of_a_class_sum_to_one():
    weights = SoftmaxHead(9, 4).class_weights()
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(4))


class TestDistance:
    def test_average_picture_has_no_evidence(self):
        torch.manual_seed(0)
        head = DistanceHead(5, 3)
        batch = -torch.rand(40, 5)
        for _ in range(200):
            head(batch)
        head.eval()
        evidence = head.evidence(batch.mean(0, keepdim=True), torch.arange(3))
        torch.testing.assert_close(head.baseline_activations(), batch.mean(0))
        torch.testing.assert_close(evidence.presence, torch.zeros(1, 5, 3), atol=1e-5, rtol=0)
        torch.testing.assert_close(evidence.bias, head(batch).mean(0))

    def test_usual_activations_stay_at_inference_and_are_forgotten_with_their_prototypes(self):
        head = DistanceHead(4, 2)
        head(-torch.rand(6, 4))
        usual = head.baseline_activations().clone()
        head.eval()(-torch.rand(6, 4))
        with torch.no_grad():
            head.train()(-torch.rand(6, 4))
        assert torch.equal(head.baseline_activations(), usual)
        head.select(torch.tensor([0, 3]))
        assert torch.equal(head.baseline_activations(), usual[[0, 3]])

    def test_nearer_than_usual_speaks_for_the_class_that_weighs_it(self):
        head = DistanceHead(1, 2).eval()
        head.weight.data, head.usual = torch.tensor([[2.0], [-1.0]]), torch.tensor([-10.0])
        evidence = head.evidence(torch.tensor([[-1.0]]), torch.arange(2))
        assert evidence.presence.flatten().tolist() == [18, -9]
        assert evidence.bias.tolist() == [-20, 10]


class TestShapley:
    def test_presence_is_the_shapley_value_of_the_relative_score(self):
        """Over all orders in which prototypes go from their usual activation to that of the image."""
        torch.manual_seed(0)
        head, activations, usual = head_of("linear", 4, 3), torch.rand(1, 4).double(), torch.rand(4).double()
        head.weight.data = torch.randn(3, 4).double()
        head.set_baseline_activations(usual)

        def relative(found):
            scores = head(torch.where(torch.tensor([p in found for p in range(4)]), activations, usual))
            return (scores - scores.mean(1, keepdim=True))[0]

        values = torch.zeros(4, 3).double()
        orders = list(itertools.permutations(range(4)))
        for order in orders:
            for place, p in enumerate(order):
                values[p] += (relative(order[: place + 1]) - relative(order[:place])) / len(orders)
        every = torch.arange(3)
        evidence = head.evidence(activations, every) - head.average_evidence(activations)
        torch.testing.assert_close(evidence.presence[0], values)
        torch.testing.assert_close(evidence.bias, relative(()))

    @pytest.mark.parametrize("kind", ["rectified", "softmax", "reasoning"])
    def test_heads_that_count_from_nothing_are_not_told_what_is_usual(self, kind):
        head = head_of(kind, 3, 2)
        head.set_baseline_activations(torch.ones(3))
        assert not head.full_evidence_kind.relative
        assert head.evidence_kind is head.full_evidence_kind
        assert head.average_evidence(torch.rand(1, 3)) is None
        assert not head.baseline_activations().any()

    @pytest.mark.parametrize("kind", ["linear", "aggregation"])
    def test_what_is_usual_is_no_weight(self, kind):
        head, names = head_of(kind, 3, 3), list(head_of(kind, 3, 3).state_dict())
        head.set_baseline_activations(torch.rand(3))
        assert list(head.state_dict()) == names
        usual = head.baseline_activations()
        head.select(torch.tensor([0, 2]))
        assert torch.equal(head.baseline_activations(), usual[[0, 2]])

    def test_presence_weights_do_not_depend_on_what_is_usual(self):
        head = head_of("linear", 3, 2)
        head.set_baseline_activations(torch.rand(3))
        assert torch.equal(head.presence_weights(), head.class_weights())
        assert torch.equal((reasoning := head_of("reasoning", 3, 2)).presence_weights(), reasoning.reasoning()[0].T)


class TestReasoning:
    head = ReasoningHead(6, 3).double()
    activations = torch.rand(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def test_agreement_and_disagreement_are_everything(self):
        every = torch.arange(3)
        both = (
            self.head.evidence(self.activations, every).total()
            + self.head.disagreement(self.activations, every).total()
        )
        torch.testing.assert_close(both, torch.ones(4, 3, dtype=torch.float64), atol=1e-12, rtol=0)

    def test_scores_are_probabilities(self):
        for extreme in (torch.zeros(1, 6), torch.ones(1, 6)):
            scores = self.head(extreme.double())
            assert ((scores >= 0) & (scores <= 1)).all()

    def test_it_follows_the_formula(self):
        positive, negative = self.head.reasoning()
        expected = [
            [sum(positive[k, c] * d[k] + negative[k, c] * (1 - d[k]) for k in range(6)).item() for c in range(3)]
            for d in self.activations
        ]
        torch.testing.assert_close(self.head(self.activations), torch.tensor(expected).double())
        torch.testing.assert_close((positive + negative).sum(0), torch.ones(3, dtype=torch.float64))


def test_keep_leaves_the_scores_of_the_kept_prototypes():
    head, kept = head_of("linear", 6, 3), torch.tensor([1, 4, 5])
    activations = torch.rand(2, 6).double()
    alone = torch.zeros_like(activations)
    alone[:, kept] = activations[:, kept]
    expected = head(alone)
    head.select(kept)
    torch.testing.assert_close(head(activations[:, kept]), expected)


def test_keep_leaves_the_proportions_of_reasoning():
    head, kept = ReasoningHead(6, 3), torch.tensor([0, 2, 5])
    before = torch.stack(head.reasoning())[:, kept]
    head.select(kept)
    torch.testing.assert_close(torch.stack(head.reasoning()), before / before.sum((0, 1)))


def test_keep_leaves_the_proportions_of_softmax_weights():
    head, kept = SoftmaxHead(6, 3), torch.tensor([0, 2, 5])
    before = head.class_weights()[:, kept]
    head.select(kept)
    torch.testing.assert_close(head.class_weights(), before / before.sum(1, keepdim=True))


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_computed_in_float32_under_mixed_precision(kind):
    head, activations = head_of(kind, 12, 4).float(), 100 * torch.rand(5, 12)
    expected = head.eval()(activations)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head(activations), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_evidence_is_computed_where_and_as_the_activations_are(kind):
    with pretended_device(), torch.no_grad():
        head, activations = head_of(kind, 6, 3).float().to(DEVICE), torch.rand(2, 6, dtype=torch.float64)
        classes = torch.tensor([2, 0])
        evidence, lost = head.evidence(activations, classes), head.disagreement(activations, classes)
        assert head.evidence(activations.float().to(DEVICE), classes.to(DEVICE)).total().device == DEVICE
        scores = head(activations.float().to(DEVICE)).cpu()[:, [2, 0]]
    assert evidence.total().dtype == torch.float64
    torch.testing.assert_close(evidence.total().float(), scores, rtol=1e-5, atol=1e-5)
    if lost is not None:
        torch.testing.assert_close(evidence.total() + lost.total(), torch.ones(2, 2, dtype=torch.float64))


@pytest.mark.parametrize("kind", KINDS)
def test_merging_twins_changes_no_score(kind):
    """Of prototypes that always fire alike, one can stand for all, with their weights added up."""
    torch.manual_seed(3)
    head, classes = head_of(kind, 8, 2), 2
    if kind == "aggregation":
        into = torch.tensor([0, 1, 2, 3, 0, 1, 6, 7])
        torch.nn.init.normal_(head.weight)
    else:
        into = torch.tensor([0, 1, 2, 0, 2, 5, 0, 7])
    activations = torch.rand(5, 8, dtype=torch.float64)[:, into]
    before = head(activations)
    kept = into.unique()
    head.merge(into)
    if kind == "aggregation":
        head.set_ownership(Ownership.of_labels(torch.arange(8) % classes, classes).merged(into))
    head.select(kept)
    torch.testing.assert_close(head(activations[:, kept]), before)
