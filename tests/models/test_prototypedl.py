"""What is particular to PrototypeDL: whole pictures in, whole pictures out."""

from __future__ import annotations

import pytest
import torch

from protoexplain.errors import UserError
from protoexplain.models.families.prototypedl import FAMILY, PrototypeDLConfig
from protoexplain.models.families.prototypedl.network import PrototypeDL
from protoexplain.training import engine

CLASSES = 4


def fresh(**config) -> PrototypeDL:
    torch.manual_seed(0)
    model = FAMILY.build(PrototypeDLConfig(**config), CLASSES)
    assert isinstance(model, PrototypeDL)
    return model.eval()


@pytest.mark.parametrize(("side", "cells"), [(28, 2), (64, 4), (65, 5)])
@pytest.mark.parametrize("latent", [0, 6])
def test_one_similarity_for_the_whole_picture(side, cells, latent):
    model = fresh(image_size=side, latent_channels=latent, prototypes=3)
    pictures = torch.rand(2, 3, side, side)
    assert model.branches["main"].prototypes.shape == (3, latent or 10, cells, cells)
    assert model.activation_maps(model.backbone(pictures))[0].shape == (2, 3, 1, 1)
    out = model(pictures).branches["main"]
    distances = (out.latent[:, None] - model.branches["main"].prototypes).square().flatten(2).sum(2)
    torch.testing.assert_close(-out.activations, distances)


def test_start_is_the_published_one():
    model = fresh(prototypes=200)
    filters = torch.cat(
        [p.flatten() for name, p in model.named_parameters() if name.endswith("weight") and "layers" in name]
    )
    assert float(filters.detach().std()) == pytest.approx(0.01, rel=0.05)
    prototypes, weights = model.branches["main"].prototypes, model.class_weights()
    assert 0 <= prototypes.min() < 0.01 < 0.99 < prototypes.max() <= 1
    assert float(weights.detach().var(0).mean()) == pytest.approx(1 / 12, rel=0.1), "that of U(0, 1)"


def test_weights_tell_classes_apart_and_nothing_else():
    """What all classes get alike is taken away: probabilities and gradients stay."""
    model, pictures, labels = fresh(), torch.rand(5, 3, 28, 28), torch.arange(5) % CLASSES
    head = model.branches["main"].head
    head.weight.data = torch.rand(head.weight.shape) - 3

    def look():
        output = model(pictures)
        loss = model.loss_terms(output, labels, frozenset({"cross_entropy"}))["cross_entropy"]
        return model.probabilities(output.logits), *torch.autograd.grad(loss, list(model.branches.parameters()))

    before = look()
    model.constrain(frozenset({"backbone"}))
    assert head.weight.max() < -2
    model.constrain(frozenset({"head"}))
    torch.testing.assert_close(head.weight.mean(0), torch.zeros(15), atol=1e-6, rtol=0)
    for one, other in zip(before, look(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_prototypes_are_drawn_in_three_channels(channels):
    shown = fresh(picture_channels=channels).decoded_prototypes()
    assert shown.shape == (15, 3, 28, 28)
    assert torch.equal(shown[:, 0], shown[:, 2]) == (channels == 1)


def test_grey_decoder_is_compared_with_grey_pictures():
    model = fresh(picture_channels=1)
    colours, names = torch.rand(4, 3, 28, 28), frozenset({"reconstruction"})
    output = model(colours)
    expected = (model.decoder(output.branches["main"].latent) - colours.mean(1, keepdim=True)).square().sum() / 4
    torch.testing.assert_close(model.loss_terms(output, torch.zeros(4).long(), names)["reconstruction"], expected)


def test_pictures_of_another_size_are_refused():
    with pytest.raises(UserError, match="32 x 32 pixels, the model encodes 28"):
        fresh()(torch.rand(1, 3, 32, 32))


def test_cached_activations_know_the_class_loss_alone():
    model = fresh()
    output = engine.outputs(model, "activations", -torch.rand(5, 15))
    names = frozenset({"cross_entropy", "reconstruction", "r1", "r2"})
    assert set(model.loss_terms(output, torch.arange(5) % CLASSES, names)) == {"cross_entropy"}
