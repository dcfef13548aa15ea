"""Encoder and decoder halve and double sides exactly, as "SAME" padding does."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from protoexplain.models.autoencoder import ConvDecoder, ConvEncoder, halved
from protoexplain.models.backbone_config import BackboneConfig
from protoexplain.models.backbones import Backbone


def test_sides_are_rounded_up():
    assert halved(28, 4) == [28, 14, 7, 4, 2]
    assert halved(1, 2) == [1, 1, 1]


@settings(max_examples=20, deadline=None)
@given(side=st.integers(1, 40), layers=st.integers(1, 4), channels=st.sampled_from([1, 3]))
def test_decoder_mirrors_the_encoder(side, layers, channels):
    z = ConvEncoder([4] * (layers - 1) + [5], channels)(torch.rand(2, channels, side, side))
    assert z.shape == (2, 5, halved(side, layers)[-1], halved(side, layers)[-1])
    pictures = ConvDecoder(5, channels, side, layers)(z)
    assert pictures.shape == (2, channels, side, side)
    assert 0 <= pictures.min() <= pictures.max() <= 1


@pytest.mark.parametrize("side", [5, 6, 7, 8])
def test_decoder_is_the_adjoint_of_the_encoder(side):
    """A transposed convolution with the same filters: <conv x, y> = <x, conv^T y>."""
    torch.manual_seed(0)
    encoder, decoder = ConvEncoder([4], 3).layers[0][0], ConvDecoder(4, 3, side, 1)
    decoder.layers[0].weight.data = encoder.weight.data
    x = torch.rand(1, 3, side, side)
    z = encoder(x)
    y = torch.rand_like(z)
    torch.testing.assert_close((z * y).sum(), (x * decoder(y).logit()).sum(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("stride", "channels"), [(2, 32), (8, 32), (16, 10)])
def test_encoder_is_a_backbone(stride, channels):
    backbone = Backbone(BackboneConfig(name="conv_encoder", stride=stride, weights="none"))
    features = backbone(torch.rand(1, 3, 48, 48))
    assert features.shape == (1, channels, 48 // stride, 48 // stride)
    assert backbone.channels == channels
    layers = stride.bit_length() - 1
    assert len(list(backbone.trainable_parameters())) == 2 * layers
    frozen = Backbone(BackboneConfig(name="conv_encoder", stride=stride, weights="none", frozen_stride=2))
    assert len(list(frozen.trainable_parameters())) == 2 * (layers - 1)
