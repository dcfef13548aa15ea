"""Detection probabilities of shallow components against loops."""

from __future__ import annotations

import math

import pytest
import torch

from protoexplain.models import detection

X = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
COMPONENTS = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
BASES = torch.linalg.qr(torch.randn(3, 6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))).Q


def test_squared_distance():
    expected = [[sum((a - b) ** 2 for a, b in zip(x, w, strict=True)) for w in COMPONENTS] for x in X]
    torch.testing.assert_close(detection.squared_distance(X, COMPONENTS), torch.tensor(expected).double())


def test_a_copied_component_is_at_distance_zero_in_float32_and_has_a_gradient():
    x = torch.rand(2, 500, requires_grad=True)
    squared = detection.squared_distance(x, x.detach()[:1])
    assert squared[0].item() == 0
    detection.exponential_detection(detection.root_distance(squared), 2.0).sum().backward()
    assert x.grad.isfinite().all()


def test_tangent_distance_ignores_moves_inside_the_subspace():
    squared = detection.tangent_squared_distance(X, COMPONENTS, BASES)
    assert (squared <= detection.squared_distance(X, COMPONENTS)).all()
    moved = COMPONENTS + torch.einsum("kfs,s->kf", BASES, torch.tensor([3.0, -1.0]).double())
    torch.testing.assert_close(detection.tangent_squared_distance(X, moved, BASES), squared)
    inside = detection.tangent_squared_distance(moved, COMPONENTS, BASES).diagonal()
    torch.testing.assert_close(inside, torch.zeros(3).double(), atol=1e-9, rtol=0)


def test_exponential_detection_falls_by_e_over_a_width():
    distance = torch.tensor([[0.0, 2.0]])
    assert detection.exponential_detection(distance, torch.tensor([[1.0, 2.0]])).tolist() == [
        [1.0, pytest.approx(math.exp(-1))]
    ]
    assert detection.positive_sigma(torch.tensor([-2.0, 0.0])).tolist() == pytest.approx([2.0, 1e-7])


def test_relu_cosine():
    expected = [[max(0.0, float(x @ w / x.norm() / w.norm())) for w in COMPONENTS] for x in X]
    torch.testing.assert_close(detection.relu_cosine(X, COMPONENTS), torch.tensor(expected).double())


def test_normalised_kernels():
    kernels = detection.normalised_kernels(torch.rand(4, 3))
    torch.testing.assert_close(kernels.sum(1), torch.ones(4))


@pytest.mark.parametrize("kind", ["euclidean", "tangent", "cosine"])
def test_gradients(kind):
    functions = {
        "euclidean": lambda x, w: detection.root_distance(detection.squared_distance(x, w)),
        "tangent": lambda x, w: detection.tangent_squared_distance(x, w, BASES),
        "cosine": detection.relu_cosine,
    }
    inputs = X.clone().requires_grad_(), COMPONENTS.clone().requires_grad_()
    assert torch.autograd.gradcheck(functions[kind], inputs)
