"""Vision transformers as backbones: tokens as maps, sizes of pictures, weights as their own code saves them."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from random_backbones import names, random
from torch import Tensor

from protoexplain.models.backbone_config import BackboneConfig
from protoexplain.models.backbones import Backbone

DINO = "vit_tiny_patch16_224"


def test_transformers_are_those_of_timm_at_their_own_size():
    backbone, images = random("vit_tiny_patch16_224"), torch.rand(2, 3, 224, 224)
    fixed = timm.create_model("vit_tiny_patch16_224", num_classes=0).eval()
    fixed.load_state_dict(backbone.net.state_dict(), strict=False)
    with torch.no_grad():
        expected = fixed.forward_intermediates(
            (images - backbone.mean) / backbone.std, indices=[backbone.level], intermediates_only=True
        )[0]
        torch.testing.assert_close(backbone(images), expected)


@pytest.mark.parametrize("name", ["test_vit", "test_vit2"])
@torch.no_grad()
def test_class_and_register_tokens_are_no_cells(name):
    backbone, images = random(name), torch.rand(1, 3, 96, 160)
    net, seen = backbone.net, []
    hook = net.blocks[backbone.level].register_forward_hook(lambda *given: seen.append(given[2]))
    features = backbone(images)
    hook.remove()
    assert net.num_prefix_tokens == 1
    cells = seen[0][:, net.num_prefix_tokens :]
    torch.testing.assert_close(features.flatten(2).transpose(1, 2), cells)
    assert features.shape[2:] == (6, 10)


def test_transformers_have_no_stem():
    """Their layers hand on tokens, with others among them, so that nothing can go on from a map."""
    assert not random("test_vit", stride=16, frozen_stride=16).has_stem


def test_layers_of_a_transformer_are_a_group_by_name():
    backbone = random("test_vit", lower_until="blocks.3")
    trained = {name.split(".")[1] for name in names(backbone) if name.startswith("blocks.")}
    assert trained == {"4", "5"}


def test_sizes_that_a_transformer_takes():
    backbone = random("test_vit")
    assert [size for size in range(90, 130) if backbone.takes(size)] == [96, 112, 128]
    assert backbone.native_size == 160


def published_by_dino(state: dict[str, Tensor]) -> dict[str, object]:
    """As its training saves: a student and a teacher, with a head that timm does not know."""
    teacher = {f"backbone.{name}": tensor for name, tensor in state.items()}
    return {"student": {}, "teacher": {**teacher, "head.mlp.0.weight": torch.zeros(2, 2)}, "epoch": 100}


def with_registers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As DINOv2 names registers, whose positions hold one for the class token."""
    classes = torch.zeros(1, 1, state["pos_embed"].shape[2])
    renamed = {name: tensor for name, tensor in state.items() if name != "reg_token"}
    return {
        **renamed,
        "register_tokens": state["reg_token"],
        "pos_embed": torch.cat([classes, state["pos_embed"]], 1),
        "mask_token": torch.zeros(1, state["pos_embed"].shape[2]),
    }


class TestWeightsOfDino:
    def test_of_a_training(self, tmp_path: Path):
        source = timm.create_model(DINO, num_classes=0)
        torch.save(published_by_dino(source.state_dict()), tmp_path / "dino.pth")
        backbone = Backbone(BackboneConfig(name=DINO, weights=str(tmp_path / "dino.pth")))
        mine = backbone.net.state_dict()
        assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in mine.items())

    def test_of_another_size_of_pictures(self, tmp_path: Path):
        """Positions are resampled, as timm does it."""
        source = timm.create_model(DINO, num_classes=0, img_size=96)
        torch.save(source.state_dict(), tmp_path / "dino.pth")
        backbone = Backbone(BackboneConfig(name=DINO, weights=str(tmp_path / "dino.pth")))
        assert backbone.net.pos_embed.shape == (1, 1 + 14 * 14, 192)
        assert torch.equal(backbone.net.blocks[3].mlp.fc1.weight, source.blocks[3].mlp.fc1.weight)

    def test_with_registers(self, tmp_path: Path, monkeypatch):
        make = timm.create_model
        monkeypatch.setattr(timm, "create_model", lambda name, **given: make(name, depth=2, **given))
        name = "vit_small_patch14_reg4_dinov2"
        source = timm.create_model(name, num_classes=0)
        torch.save(with_registers(source.state_dict()), tmp_path / "dino.pth")
        backbone = Backbone(BackboneConfig(name=name, stride=14, weights=str(tmp_path / "dino.pth")))
        assert torch.equal(backbone.net.reg_token, source.reg_token)
        assert torch.equal(backbone.net.pos_embed, source.pos_embed)

    def test_the_normalisation_is_that_of_the_weights(self):
        imagenet = random(f"{DINO.replace('tiny', 'small')}.dino")
        assert imagenet.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
        assert random(DINO).mean.flatten().tolist() == [0.5, 0.5, 0.5]
