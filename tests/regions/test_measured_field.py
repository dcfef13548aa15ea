"""The measured receptive field equals the analytic one where that exists, and covers all that has influence."""

import pytest
import torch
from tiny_runs import tiny_config, tiny_model
from torch import nn

from protoexplain.models.base import Branch, PrototypeModel
from protoexplain.models.contract import Ownership
from protoexplain.models.heads import LinearHead
from protoexplain.models.registry import family_names, get_family
from protoexplain.models.similarity import NegativeSquaredL2
from protoexplain.regions.measured_field import measure_fields
from protoexplain.regions.receptive_field import receptive_field

SIDE = 24


class Chain(nn.Sequential):
    """Convolutions with the activations that cut gradients."""

    def __init__(self, layers):
        stack = []
        for kernel, stride, padding in layers:
            stack += [nn.Conv2d(3, 3, kernel, stride, padding), nn.BatchNorm2d(3), nn.ReLU6(inplace=True)]
        super().__init__(*stack)


def chain_model(layers, prototype=1):
    owner = torch.zeros(2, dtype=torch.long)
    prototypes = torch.rand(2, 3, prototype, prototype)
    branch = Branch(nn.Sigmoid(), prototypes, NegativeSquaredL2(), LinearHead(Ownership.of_labels(owner, 1)))
    return PrototypeModel(Chain(layers), {"main": branch}, Ownership.of_labels(owner, 1)).eval()


@pytest.mark.parametrize(
    "layers", [[(3, 2, 1)], [(5, 1, 0), (3, 2, 1)], [(3, 1, 1), (3, 1, 1), (2, 2, 0)], [(7, 2, 3), (3, 2, 1)]]
)
@pytest.mark.parametrize("prototype", [1, 2])
def test_equals_the_analytic_one(layers, prototype):
    expected = receptive_field(*zip(*layers, strict=True), SIDE, prototype)
    ((size, found),) = measure_fields(chain_model(layers, prototype), SIDE).items()
    assert size == (expected.cells, expected.cells)
    assert len(found.rows) == len(found.columns) == expected.cells
    for row in range(expected.cells):
        for column in range(expected.cells):
            assert found.box(row, column) == expected.box(row, column)


def nearness_of(model, picture):
    """What cells know of themselves: activations may also depend on the rest of the picture (ProtoPool)."""
    features = model.backbone(picture)
    return torch.cat([b.projected_by.maps(b.addon(features), b.prototypes) for _, b in model.named_branches()], 1)


@pytest.mark.parametrize("family", family_names())
@torch.no_grad()
def test_pixels_outside_have_no_influence(family):
    network = {"backbone": {"name": "test_resnet", "stride": 8, "weights": "none"}, **get_family(family).tiny}
    model = tiny_model(tiny_config(family, model=network))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ((size, field),) = measure_fields(model, 64).items()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    picture = torch.rand(1, 3, 64, 64)
    maps = nearness_of(model, picture)
    assert maps.shape[2:] == size == (len(field.rows), len(field.columns))
    box = field.box(0, len(field.columns) - 1)
    if maps[0, 0].numel() == 1:
        assert box.area == 64 * 64, "the only cell is the whole picture"
        return
    assert box.area < 64 * 64, "a field that is the whole picture tests nothing"
    outside = torch.ones(64, 64, dtype=torch.bool)
    outside[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)] = False
    changed = torch.where(outside, torch.rand(1, 3, 64, 64), picture)
    again = nearness_of(model, changed)
    torch.testing.assert_close(again[:, :, 0, -1], maps[:, :, 0, -1], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(again, maps)
