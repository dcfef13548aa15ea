"""The folded batch norm is a batch norm in front of a convolution, to the last buffer, without a gradient below."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from protoexplain.models.families.protopnet.network import NormalisedLayers, addon_layers, normalised


@pytest.fixture
def pair() -> tuple[nn.Sequential, nn.Sequential]:
    """Ours and the plain formulation, with the same numbers."""
    torch.manual_seed(0)
    ours = normalised(addon_layers(6, 4, "regular"), 6, True).double()
    nn.init.uniform_(ours[0].weight, 0.5, 2)
    nn.init.normal_(ours[0].bias)
    return ours, nn.Sequential(*copy.deepcopy(ours))


def test_outputs_gradients_and_statistics(pair):
    features = 3 * torch.randn(5, 6, 3, 3, dtype=torch.float64) + 1
    results = []
    for layers in pair:
        inputs = features.clone().requires_grad_()
        output = layers(inputs)
        output.square().sum().backward()
        results.append((output, inputs.grad, [p.grad for p in layers.parameters()]))
    torch.testing.assert_close(*results)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(pair[0][0], name), getattr(pair[1][0], name))
    torch.testing.assert_close(*(layers.eval()(features) for layers in pair))


def test_evaluation_leaves_statistics_alone(pair):
    ours = pair[0].eval()
    before = copy.deepcopy(ours.state_dict())
    ours(torch.randn(5, 6, 3, 3, dtype=torch.float64))
    torch.testing.assert_close(ours.state_dict(), before, atol=0, rtol=0)


def test_names_of_tensors_are_those_of_the_plain_layers(pair):
    ours, plain = pair
    assert isinstance(ours, NormalisedLayers)
    assert list(ours.state_dict()) == list(plain.state_dict())
    assert not isinstance(normalised(addon_layers(6, 4, "regular"), 6, False), NormalisedLayers)
