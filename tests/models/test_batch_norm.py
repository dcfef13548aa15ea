"""Batch norm over processes is that of torch where there is one."""

import copy

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from protoexplain.models.batch_norm import share_batch_norm

LAYERS = {
    "2d": (lambda: nn.BatchNorm2d(3, momentum=0.3, eps=1e-3), (4, 3, 5, 5)),
    "1d": (lambda: nn.BatchNorm1d(3), (6, 3)),
    "with activation": (lambda: BatchNormAct2d(3), (4, 3, 5, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_one_process_computes_what_torch_does(name):
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    plain = nn.Sequential(make())
    nn.init.uniform_(plain[0].weight)
    shared = copy.deepcopy(plain)
    share_batch_norm(shared)
    share_batch_norm(shared)
    found = []
    for model in (plain, shared):
        x = torch.linspace(-2, 5, torch.Size(shape).numel()).sin().reshape(shape).requires_grad_()
        (model(x).square() * x.detach()).sum().backward()
        found.append([model(x), model.eval()(x), x.grad, model[0].weight.grad, *model.state_dict().values()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)
    assert shared.state_dict().keys() == plain.state_dict().keys()


def test_layers_without_weights_or_statistics_stay():
    layers = [nn.BatchNorm2d(3, affine=False), nn.BatchNorm2d(3, track_running_stats=False), nn.GroupNorm(1, 3)]
    model = nn.Sequential(*layers)
    share_batch_norm(model)
    assert [type(layer) for layer in model] == [nn.BatchNorm2d, nn.BatchNorm2d, nn.GroupNorm]
