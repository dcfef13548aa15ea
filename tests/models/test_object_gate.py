"""Cells beside the object are silent."""

import pytest
import torch
from tiny_runs import tiny_config, tiny_model
from torch import nn

from protoexplain.models.object_gate import GatedAddon, embedding_of, gates_of
from protoexplain.models.registry import family_names

SIZE = 64


def gate(embedding=None):
    made = GatedAddon(embedding or nn.Conv2d(3, 4, 1), 3)
    made.weight.copy_(torch.tensor([1.0, 0, 0]))
    made.bias.fill_(-0.5)
    return made


def test_only_cells_on_the_object_are_embedded():
    made, features = gate(), torch.rand(2, 3, 5, 6)
    z, plain = made(features), made.embedding(features)
    inside = (features[:, :1] > 0.5).expand_as(z)
    torch.testing.assert_close(z, plain.where(inside, torch.zeros(())))
    assert 0 < inside.float().mean() < 1


def test_it_is_open_until_it_is_set():
    made, features = GatedAddon(nn.Conv2d(3, 4, 1), 3), torch.randn(2, 3, 5, 6)
    torch.testing.assert_close(made(features), made.embedding(features))


def test_larger_latent_maps_take_the_gate_of_the_cell_below():
    made, features = gate(nn.Upsample(scale_factor=2)), torch.rand(1, 3, 4, 4)
    silent = made(features).abs().sum(1) == 0
    assert torch.equal(silent[0, ::2, 1::2], features[0, 0] <= 0.5)


@pytest.mark.parametrize("family", family_names())
def test_no_family_sees_what_a_closed_gate_hides(family):
    """With all gates shut two images have the same activations; the state of the gate belongs to the model."""
    model = tiny_model(tiny_config(family, model={"object_gate": True}))
    images = torch.rand(2, 3, SIZE, SIZE)
    opened = model(images).activations
    assert not torch.allclose(opened[0], opened[1])
    for each in gates_of(model):
        each.bias.fill_(-1)
    again = tiny_model(tiny_config(family, model={"object_gate": True}), seed=1)
    again.load_state_dict(model.state_dict())
    for shut in (model, again):
        activations = shut(images).activations
        torch.testing.assert_close(activations[0], activations[1])
    assert len(gates_of(model)) == len(model.named_branches())


def test_a_model_without_gates_keeps_its_add_on():
    model = tiny_model(tiny_config("protopnet"))
    (_, branch), *_ = model.named_branches()
    assert not gates_of(model)
    assert embedding_of(branch.addon) is branch.addon


def test_autocast_opens_the_same_cells():
    made, features = gate(), 0.5 + 0.01 * torch.randn(1, 3, 20, 20)
    with torch.autocast("cpu", torch.bfloat16):
        found = made.on_object(features)
    assert torch.equal(found, made.on_object(features))
