"""Certified radii: no move shorter than the radius changes the decision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from protoexplain.models import detection
from protoexplain.models.robustness import radius, robust_loss, signed_log_radius

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(12, 4, dtype=torch.float64, generator=GENERATOR)
COMPONENTS = torch.randn(6, 4, dtype=torch.float64, generator=GENERATOR)
POSITIVE, NEGATIVE = (2 * torch.randn(12, 5, dtype=torch.float64, generator=GENERATOR)).softmax(0).chunk(2)
CONCEPT_CLASS = torch.tensor([0, 0, 1, 2, 2])
SIGMA = 0.5 + torch.rand(6, dtype=torch.float64, generator=GENERATOR)


def detect(x: Tensor, squared: bool) -> Tensor:
    distances = detection.squared_distance(x, COMPONENTS)
    return detection.exponential_detection(distances if squared else distances.sqrt(), SIGMA)


def decide(x: Tensor, squared: bool) -> Tensor:
    found = detect(x, squared)
    concepts = found @ POSITIVE + (1 - found) @ NEGATIVE
    return CONCEPT_CLASS[concepts.argmax(1)]


def certified(labels: Tensor, squared: bool) -> Tensor:
    kappa = signed_log_radius(detect(X, squared), POSITIVE, NEGATIVE, CONCEPT_CLASS, labels, SIGMA)
    return radius(kappa, detection.squared_distance(X, COMPONENTS) if squared else None)


@pytest.mark.parametrize("squared", [False, True])
def test_random_moves_within_the_radius_change_nothing(squared):
    decision = decide(X, squared)
    eps = certified(decision, squared)
    assert (eps > 0).all()
    for _ in range(200):
        move = torch.nn.functional.normalize(torch.randn(X.shape, generator=GENERATOR).double(), dim=1)
        assert torch.equal(decide(X + eps[:, None] * move, squared), decision)


@pytest.mark.parametrize("squared", [False, True])
def test_the_radius_is_positive_exactly_where_the_decision_is_right(squared):
    labels = torch.arange(len(X)) % 3
    assert torch.equal(certified(labels, squared) > 0, decide(X, squared) == labels)


def test_rbf_classifier_is_the_case_without_negative_reasoning():
    weights = torch.randn(6, 3, dtype=torch.float64, generator=GENERATOR).softmax(0)
    found, labels = detect(X, False), torch.zeros(len(X), dtype=torch.long)
    scores = found @ weights
    expected = SIGMA.min() / 2 * torch.log(scores[:, 0] / scores[:, 1:].amax(1))
    actual = signed_log_radius(found, weights, torch.zeros_like(weights), torch.arange(3), labels, SIGMA)
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-6)


def test_squared_distances_solve_the_published_equation():
    kappa, squared = torch.tensor([0.7, -0.3]), torch.tensor([[4.0, 9.0], [1.0, 2.0]])
    eps = radius(kappa, squared)
    assert (3 * eps[0] ** 2 + 2 * 3.0 * eps[0]).item() == pytest.approx(0.7)
    assert eps[1].item() == pytest.approx(-0.3)
    assert radius(kappa, squared, negative_weight=0.1)[1].item() == pytest.approx(-0.03)
    torch.testing.assert_close(radius(kappa, squared, tangent=True), eps / 2)


def test_robust_loss_ends_at_the_margin():
    radii = torch.tensor([-0.5, 0.25, 2.0])
    assert robust_loss(radii, 1.0).tolist() == [1.5, 0.75, 0.0]
    assert robust_loss(radii).tolist() == [0.5, -0.25, -2.0]
