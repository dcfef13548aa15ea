"""Backbones in torchvision's and timm's naming are recognised, and compute the same here."""

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from official import maps_of_resnet
from torch import nn
from torchvision.models.resnet import Bottleneck

from protoexplain.errors import UserError
from protoexplain.importing.backbone import backbone_of
from protoexplain.models.backbone_config import BackboneConfig
from protoexplain.models.backbones import Backbone

NAMES = [
    *(f"resnet{n}" for n in (18, 34, 50, 101, 152)),
    *(f"densenet{n}" for n in (121, 161, 169, 201)),
    *(f"vgg{n}{norm}" for n in (11, 13, 16, 19) for norm in ("", "_bn")),
    *(f"convnext_{size}" for size in ("tiny", "small", "base", "large")),
]
HEADS = ("fc.", "classifier.", "head.", "pre_logits.")


def without_head(net):
    return {name: tensor for name, tensor in net.state_dict().items() if not name.startswith(HEADS)}


@pytest.mark.parametrize("name", NAMES)
def test_networks_are_recognised_by_their_tensors(name):
    with torch.device("meta"):
        theirs = without_head(torchvision.models.get_model(name))
        ours = without_head(timm.create_model(name, num_classes=0))
    for tensors in (theirs, ours):
        found = backbone_of(tensors, "here")
        assert (found.name, found.stride) == (name, 32)
        assert {key: tensor.shape for key, tensor in found.tensors.items()} == {k: t.shape for k, t in ours.items()}


def with_random_weights(name):
    """A network without its head, which may be larger than all of the rest."""
    with torch.device("meta"):
        net = torchvision.models.get_model(name)
    net.classifier = nn.Identity()
    torch.manual_seed(0)
    for tensor in net.to_empty(device="cpu").state_dict().values():
        if tensor.dim() > 1:
            nn.init.kaiming_normal_(tensor)
        else:
            tensor.copy_(torch.rand(tensor.shape) + 0.5)
    return net.eval()


@pytest.mark.parametrize("name", ["densenet121", "convnext_tiny"])
@torch.no_grad()
def test_features_are_those_of_torchvision(name):
    theirs = with_random_weights(name)
    found = backbone_of(without_head(theirs), "here")
    ours = Backbone(BackboneConfig(name=found.name, stride=found.stride, weights="none"), load_weights=False).eval()
    ours.net.load_state_dict(found.tensors)
    images = torch.rand(2, 3, 64, 64)
    expected = theirs.features((images - ours.mean) / ours.std)
    expected = F.relu(expected) if name.startswith("densenet") else expected
    torch.testing.assert_close(ours(images), expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_resnet_of_inaturalist_has_a_block_more():
    torch.manual_seed(0)
    theirs = torchvision.models.ResNet(Bottleneck, [3, 4, 6, 4]).eval()
    theirs.avgpool, theirs.fc = nn.Identity(), nn.Identity()
    found = backbone_of(theirs.state_dict(), "here")
    ours = Backbone(BackboneConfig(name=found.name, stride=found.stride, weights="none"), load_weights=False).eval()
    ours.net.load_state_dict(found.tensors)
    images = torch.rand(2, 3, 64, 64)
    expected = maps_of_resnet(theirs, (images - ours.mean) / ours.std)
    torch.testing.assert_close(ours(images), expected, atol=1e-4, rtol=1e-4)


def test_networks_that_are_cut_have_smaller_strides():
    net = torchvision.models.resnet18()
    net.fc = net.layer4 = nn.Identity()
    assert backbone_of(net.state_dict(), "here").stride == 16


@pytest.mark.parametrize("name", ["", "layer4.5.conv1.weight", "features.0.0.weight"])
def test_other_networks_are_named_by_people(name):
    """Nothing, a ResNet-50 with two blocks more, and the beginning of a network."""
    with torch.device("meta"):
        known = torchvision.models.resnet50().state_dict() if name.startswith("layer4") else {}
    change = {name: torch.zeros(1), name.replace(".5.", ".3."): torch.zeros(1)} if name else {}
    with pytest.raises(UserError, match="no network that is recognised"):
        backbone_of({**known, **change}, "here")
