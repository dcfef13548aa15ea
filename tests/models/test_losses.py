"""Loss terms against their definitions, written as loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from protoexplain.errors import UserError
from protoexplain.models import losses
from protoexplain.models.contract import Ownership

CLASSES, PER_CLASS, DEPTH = 4, 3, 5
PROTOTYPE_CLASS = torch.arange(CLASSES).repeat_interleave(PER_CLASS)
OWNERSHIP = Ownership.class_major(PER_CLASS, CLASSES)


def prototypes(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(CLASSES * PER_CLASS, DEPTH, dtype=torch.float64, generator=generator)


def products(p: Tensor, a: int, b: int) -> list[Tensor]:
    of = p.view(CLASSES, PER_CLASS, DEPTH)
    return [of[a, k] @ of[b, j] for k in range(PER_CLASS) for j in range(PER_CLASS)]


PAIRS = [(a, b) for a in range(CLASSES) for b in range(CLASSES) if a != b]


def test_closeness():
    p = prototypes()
    expected = -sum(min(products(p, a, b)) for a, b in PAIRS) / len(PAIRS)
    torch.testing.assert_close(losses.closeness(p, CLASSES), expected)


def test_discrimination():
    p = prototypes()
    expected = sum(max(products(p, a, b)) for a, b in PAIRS) / len(PAIRS)
    torch.testing.assert_close(losses.discrimination(p, CLASSES), expected)


@pytest.mark.parametrize("diagonal", [True, False])
def test_orthogonality(diagonal):
    p = prototypes()
    expected = 0.0
    for c in range(CLASSES):
        for k, one in enumerate(p.view(CLASSES, PER_CLASS, DEPTH)[c]):
            for j, two in enumerate(p.view(CLASSES, PER_CLASS, DEPTH)[c]):
                if k != j or diagonal:
                    expected += abs(float(one @ two) - (k == j))
    assert losses.orthogonality(p, CLASSES, diagonal).item() == pytest.approx(expected)


def test_orthogonality_of_unit_prototypes_without_diagonal_pulls_only_across_them():
    p = torch.nn.functional.normalize(prototypes(), dim=1)
    two = p.view(CLASSES, PER_CLASS, DEPTH)[:, :1].flatten(0, 1).clone().requires_grad_()
    losses.orthogonality(two, CLASSES, diagonal=False).backward()
    assert not two.grad.any()


def test_subspace_distance():
    p = prototypes()
    bases = p.view(CLASSES, PER_CLASS, DEPTH)
    operators = [basis.T @ basis for basis in bases]
    expected = sum(torch.linalg.matrix_norm(operators[a] - operators[b]) for a, b in PAIRS if a < b) / 2**0.5
    torch.testing.assert_close(losses.subspace_distance(p, CLASSES), expected)


def test_classes_of_equal_spans_get_no_gradient_that_is_not_finite():
    same = prototypes()[:PER_CLASS].repeat(2, 1).requires_grad_()
    losses.subspace_distance(same, 2).backward()
    assert not same.grad.any()


def test_wrong_class_l1():
    weight = torch.randn(CLASSES, CLASSES * PER_CLASS)
    expected = sum(
        abs(weight[c, j].item()) for c in range(CLASSES) for j in range(CLASSES * PER_CLASS) if j // PER_CLASS != c
    )
    assert losses.wrong_class_l1(weight, OWNERSHIP).item() == pytest.approx(expected, rel=1e-5)


def test_best_among_and_its_floor():
    similarity = torch.tensor([[0.5, -0.2, 0.9], [-0.7, -0.1, 0.3]], requires_grad=True)
    mask = torch.tensor([[True, True, False], [True, True, False]])
    assert losses.best_among(similarity, mask).tolist() == pytest.approx([0.5, -0.1])
    floored = losses.best_among(similarity, mask, floor=0.0)
    assert floored.tolist() == [0.5, 0.0]
    floored.sum().backward()
    assert similarity.grad.tolist() == [[1, 0, 0], [0, 0, 0]]


def test_floor_equals_masking_by_multiplication():
    distances, limit = torch.rand(20, 12) * 16, 8.0
    labels = torch.arange(20) % CLASSES
    own = OWNERSHIP.of_images(labels)
    published = limit - ((limit - distances) * own).amax(1)
    torch.testing.assert_close(-losses.best_among(-distances, own, floor=-limit), published)


def test_margin_loss():
    scores, labels = torch.rand(6, CLASSES), torch.tensor([0, 1, 2, 3, 0, 1])
    expected = [
        max(0.0, max(s for c, s in enumerate(row) if c != y) - row[y] + 0.2)
        for row, y in zip(scores.tolist(), labels.tolist(), strict=True)
    ]
    assert losses.margin_loss(scores, labels, 0.2).tolist() == pytest.approx(expected, abs=1e-6)


def test_best_per_class_knows_classes_without_a_template():
    scores = torch.tensor([[0.1, 0.7, 0.3], [0.9, 0.2, 0.4]])
    best = losses.best_per_class(scores, torch.tensor([2, 0, 2]), 3)
    assert best.tolist() == torch.tensor([[0.7, -torch.inf, 0.3], [0.2, -torch.inf, 0.9]]).tolist()


def test_glvq_loss_is_symmetric_in_the_two_distances():
    scores = -torch.tensor([[1.0, 3.0], [1.0, 3.0]])
    assert losses.glvq_loss(scores, torch.tensor([0, 1])).tolist() == pytest.approx([-0.5, 0.5])


def test_alignment_is_the_mean_log_agreement_and_keeps_gradients_off_the_targets():
    maps = torch.randn(4, 3, 2, 2, dtype=torch.float64).softmax(1).requires_grad_()
    one, two = maps.detach()[:2], maps.detach()[2:]
    cells = [
        -math.log((one[b, :, y, x] @ two[b, :, y, x]).item() + 1e-12)
        for b in range(2)
        for y in range(2)
        for x in range(2)
    ]
    value = losses.alignment(maps)
    assert value.item() == pytest.approx(sum(cells) / len(cells))
    value.backward()
    symmetric = -torch.log((maps[:2] * maps[2:]).sum(1) + 1e-12).mean()
    (full,) = torch.autograd.grad(symmetric, maps)
    torch.testing.assert_close(maps.grad, full / 2)


class TestShallowDeepAlignment:
    def maps(self, height: int = 3, width: int = 2, block: tuple[int, int] = (2, 3), seed: int = 0):
        """deep [2,5,H,W], shallow [2,4,qH,rW], cells [2,3]."""
        generator = torch.Generator().manual_seed(seed)
        deep = torch.randn(2, 5, height, width, dtype=torch.float64, generator=generator)
        size = (height * block[0], width * block[1])
        shallow = torch.randn(2, 4, *size, dtype=torch.float64, generator=generator)
        return deep, shallow, torch.randint(height * width, (2, 3), generator=generator)

    @settings(max_examples=20, deadline=None)
    @given(
        height=st.integers(1, 4),
        width=st.integers(1, 4),
        block=st.tuples(st.integers(1, 3), st.integers(1, 3)),
        tolerance=st.sampled_from([0.0, 0.1, 0.5]),
        seed=st.integers(0, 99),
    )
    def test_it_follows_the_formula(self, height, width, block, tolerance, seed):
        deep, shallow, cells = self.maps(height, width, block, seed)
        total, (q, r) = 0.0, block
        for b in range(2):
            pieces = [
                (deep[b, :, y, x], shallow[b, :, y * q : (y + 1) * q, x * r : (x + 1) * r].flatten())
                for y in range(height)
                for x in range(width)
            ]
            for cell in cells[b].tolist():
                for other in pieces:
                    deeps, shallows = (
                        torch.cosine_similarity(one, two, 0) for one, two in zip(pieces[cell], other, strict=True)
                    )
                    total += max(0.0, abs(float(deeps - shallows)) - tolerance)
        found = losses.shallow_deep_alignment(deep, shallow, cells, tolerance)
        assert found.item() == pytest.approx(total / (2 * 3 * height * width), abs=1e-12)
        assert 0 <= found <= 2

    def test_gradients_reach_the_deep_map_alone(self):
        deep, shallow, cells = self.maps()
        deep.requires_grad_(), shallow.requires_grad_()
        assert torch.autograd.gradcheck(lambda d: losses.shallow_deep_alignment(d, shallow, cells, 0.05), (deep,))
        losses.shallow_deep_alignment(deep, shallow, cells, 0.05).backward()
        assert deep.grad.count_nonzero()
        assert shallow.grad is None

    def test_equal_maps_cost_nothing(self):
        deep, _, cells = self.maps()
        assert losses.shallow_deep_alignment(deep, 3 * deep, cells, 1e-9) == 0

    @pytest.mark.parametrize("where", ["deep", "shallow", "both"])
    def test_zero_vectors_are_like_nothing(self, where):
        """The published division by the length gives NaN."""
        deep, shallow, cells = self.maps()
        if where != "shallow":
            deep[0, :, 0, 0] = 0
        if where != "deep":
            shallow[0, :, :2, :3] = 0
        cells[0, 0] = 0
        deep.requires_grad_()
        loss = losses.shallow_deep_alignment(deep, shallow, cells, 0.0)
        loss.backward()
        assert loss.isfinite()
        assert deep.grad.isfinite().all()
        assert deep.grad.abs().max() < 10
        if where != "shallow":
            assert not deep.grad[0, :, 0, 0].any()

    def test_maps_that_do_not_divide(self):
        deep, shallow, cells = self.maps()
        with pytest.raises(UserError, match="5 x 6 cells cannot be cut into 3 x 2") as caught:
            losses.shallow_deep_alignment(deep, shallow[:, :, :5], cells, 0.1)
        assert caught.value.where == "data.image_size"


def test_every_prototype_fires():
    views = torch.rand(6, 4)
    expected = [
        -sum(math.log(math.tanh(view[:, k].sum().item()) + 1e-8) for k in range(4)) / 4 for view in views.chunk(2)
    ]
    assert losses.every_prototype_fires(views).item() == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_log_normalised_nll():
    scores, labels = torch.rand(3, 4) * 3, torch.tensor([0, 3, 1])
    expected = [
        -math.log((1 + row[y] ** 2) / sum(1 + o**2 for o in row))
        for row, y in zip(scores.tolist(), labels.tolist(), strict=True)
    ]
    assert losses.log_normalised_nll(scores, labels).item() == pytest.approx(sum(expected) / 3, rel=1e-5)


LABELS = torch.tensor([0, 1, 2, 3, 1])


@pytest.mark.parametrize(
    ("loss", "shape"),
    [
        (lambda p: losses.closeness(p, CLASSES), (12, 5)),
        (lambda p: losses.discrimination(p, CLASSES), (12, 5)),
        (lambda p: losses.orthogonality(p, CLASSES), (12, 5)),
        (lambda p: losses.orthogonality(p, CLASSES, diagonal=False), (12, 5)),
        (lambda p: losses.subspace_distance(p, CLASSES), (12, 5)),
        (lambda w: losses.wrong_class_l1(w, OWNERSHIP), (4, 12)),
        (lambda s: losses.best_among(s, OWNERSHIP.of_images(LABELS)), (5, 12)),
        (lambda s: losses.margin_loss(s, LABELS, 0.3), (5, 4)),
        (lambda s: losses.glvq_loss(-s.square(), LABELS), (5, 4)),
        (lambda s: losses.best_per_class(s, PROTOTYPE_CLASS, CLASSES), (5, 12)),
        (lambda a: losses.every_prototype_fires(a.square() + 0.1), (6, 12)),
        (lambda s: losses.log_normalised_nll(s.square(), LABELS), (5, 4)),
    ],
)
def test_gradients(loss, shape):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(loss, (x,))


@pytest.mark.parametrize(
    "loss",
    [
        lambda p: losses.orthogonality(p, CLASSES),
        lambda p: losses.orthogonality(p, CLASSES, diagonal=False),
        lambda p: losses.closeness(p, CLASSES),
        lambda p: losses.discrimination(p, CLASSES),
        lambda p: losses.subspace_distance(p, CLASSES),
    ],
)
def test_products_are_computed_in_float32_under_mixed_precision(loss):
    vectors = prototypes(1).float()
    expected = loss(vectors)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(loss(vectors), expected)


def test_alignment_of_features_in_half_precision():
    torch.manual_seed(0)
    deep, shallow = torch.rand(2, 16, 4, 4).bfloat16(), torch.rand(2, 8, 8, 8).bfloat16()
    cells = torch.tensor([[0, 3], [9, 1]])
    expected = losses.shallow_deep_alignment(deep.float(), shallow.float(), cells, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(losses.shallow_deep_alignment(deep, shallow, cells, 0.1), expected)
