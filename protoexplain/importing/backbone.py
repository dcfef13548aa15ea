"""Which network the tensors of a backbone are of, in torchvision's or timm's naming, and their names in timm."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from protoexplain.errors import UserError

_RESNETS: dict[tuple[int, ...], str] = {
    (False, 2, 2, 2, 2): "resnet18",
    (False, 3, 4, 6, 3): "resnet34",
    (True, 3, 4, 6, 3): "resnet50",
    (True, 3, 4, 6, 4): "resnet50_inat",
    (True, 3, 4, 23, 3): "resnet101",
    (True, 3, 8, 36, 3): "resnet152",
}
"""Whether blocks have three convolutions, and the blocks of each layer."""
_DENSENETS: dict[tuple[int, ...], str] = {
    (6, 12, 24, 16): "densenet121",
    (6, 12, 36, 24): "densenet161",
    (6, 12, 32, 32): "densenet169",
    (6, 12, 48, 32): "densenet201",
}
_VGGS = {8: "vgg11", 10: "vgg13", 13: "vgg16", 16: "vgg19"}
"""By convolutions."""
_CONVNEXTS: dict[tuple[int, ...], str] = {
    (96, 3, 3, 9, 3): "convnext_tiny",
    (96, 3, 3, 27, 3): "convnext_small",
    (128, 3, 3, 27, 3): "convnext_base",
    (192, 3, 3, 27, 3): "convnext_large",
}
"""Channels of the first stage, and the blocks of each."""
_CONVNEXT_LAYERS = {"block.0": "conv_dw", "block.2": "norm", "block.3": "mlp.fc1", "block.5": "mlp.fc2"}


@dataclass(frozen=True)
class ForeignBackbone:
    """A network of timm.

    Args:
        name: Of the network.
        stride: Of its deepest features here.
        tensors: By their names in timm.
    """

    name: str
    stride: int
    tensors: Mapping[str, Tensor]


def backbone_of(tensors: Mapping[str, Tensor], where: str) -> ForeignBackbone:
    """Recognise a network by the names of its tensors.

    Raises:
        UserError: It is none that is known here.
    """
    if "features.0.0.weight" in tensors:
        tensors = _convnext_in_timm(tensors)
    for recognise in (_resnet, _densenet, _vgg, _convnext):
        found = recognise(tensors)
        if found is not None:
            name, stride = found
            return ForeignBackbone(name, stride, tensors)
    first = ", ".join(sorted(tensors)[:3]) or "none"
    raise UserError(
        f"the tensors of the backbone ({first}, ...) are of no network that is recognised",
        where,
        "name it with --set model.backbone.name=NAME, if its tensors are named as in timm",
    )


def _blocks(tensors: Mapping[str, Tensor], pattern: str) -> tuple[int, ...]:
    """How many blocks each layer has, from a pattern of their names with the numbers of layer and block."""
    found: dict[int, set[int]] = {}
    for name in tensors:
        if match := re.match(pattern, name):
            layer, block = map(int, match.groups())
            found.setdefault(layer, set()).add(block)
    return tuple(len(found[layer]) for layer in sorted(found))


def _resnet(tensors: Mapping[str, Tensor]) -> tuple[str, int] | None:
    """Layers may be missing at the end, if the network was cut there."""
    blocks = _blocks(tensors, r"layer(\d)\.(\d{1,3})\.conv1\.weight$")
    shape = ("layer1.0.conv3.weight" in tensors, *blocks)
    names = [name for known, name in _RESNETS.items() if blocks and known[: len(shape)] == shape]
    return (names[0], 2 ** (1 + len(blocks))) if names else None


def _densenet(tensors: Mapping[str, Tensor]) -> tuple[str, int] | None:
    blocks = _blocks(tensors, r"features\.denseblock(\d)\.denselayer(\d{1,3})\.conv1\.weight$")
    return (_DENSENETS[blocks], 32) if blocks in _DENSENETS else None


def _vgg(tensors: Mapping[str, Tensor]) -> tuple[str, int] | None:
    layers = {name: tensor for name, tensor in tensors.items() if re.fullmatch(r"features\.\d{1,2}\.weight", name)}
    name = _VGGS.get(sum(tensor.dim() == 4 for tensor in layers.values()))
    normalised = any(name.endswith("running_mean") for name in tensors)
    return None if name is None else (f"{name}_bn" if normalised else name, 32)


def _convnext(tensors: Mapping[str, Tensor]) -> tuple[str, int] | None:
    blocks = _blocks(tensors, r"stages\.(\d)\.blocks\.(\d{1,3})\.gamma$")
    stem = tensors.get("stem.0.weight")
    name = None if stem is None or not stem.dim() else _CONVNEXTS.get((len(stem), *blocks))
    return None if name is None else (name, 32)


def _convnext_in_timm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """From torchvision, where stages and the layers between them are numbered in one list."""
    renamed = {}
    for name, tensor in tensors.items():
        head, *rest = name.removeprefix("features.").split(".")
        number = int(head) if head.isdecimal() and len(head) < 3 else -1
        if name.startswith("features.0."):
            renamed[".".join(["stem", *rest])] = tensor
        elif number > 0 and number % 2 == 0:
            renamed[".".join([f"stages.{number // 2}.downsample", *rest])] = tensor
        elif number > 0 and len(rest) > 1:
            place, layer = f"stages.{number // 2}.blocks.{rest[0]}", ".".join(rest[1:])
            if layer == "layer_scale":
                renamed[f"{place}.gamma"] = tensor.flatten()
            else:
                inner, _, kind = layer.rpartition(".")
                renamed[f"{place}.{_CONVNEXT_LAYERS.get(inner, inner)}.{kind}"] = tensor
        else:
            renamed[name] = tensor
    return renamed
