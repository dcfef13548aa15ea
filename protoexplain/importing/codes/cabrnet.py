"""CaBRNet 1.x: a folder with model_arch.yml and model_state.pth, of ProtoPNet, ProtoPool or PIP-Net.

The description is read, never built by.  Layers of the add-on have names of their own and are taken in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from protoexplain.errors import UserError
from protoexplain.importing.code import Converted, OfficialCode, Tensors
from protoexplain.importing.codes.protopnet import protopnet
from protoexplain.importing.foreign import ForeignModel

_TITLE = "CaBRNet (Xu-Darme et al. 2024)"
_SIMILARITIES = ("ProtoPNetSimilarity", "LegacyProtoPNetSimilarity")
_WIDEST = {100: 2, 300: 1}
"""Of the option that halves strides on ConvNeXt-Tiny: its least number of channels -> stages without stride."""
_ASSUMED = ("images of 224 pixels (--set data.image_size=...)", "images are normalised as on ImageNet")


def convert(model: ForeignModel, classes: int | None) -> Converted:
    name = _text(model, "classifier", "name")
    if name not in _CLASSIFIERS:
        what = f"the classifier '{name}' has no family here"
        raise UserError(what, model.where, f"those that have: {', '.join(_CLASSIFIERS)}")
    tensors = Tensors(model, _TITLE)
    found = _CLASSIFIERS[name](model, tensors)
    tensors.end()
    return found


def _protopnet(model: ForeignModel, tensors: Tensors) -> Converted:
    prototypes = tensors.take("classifier.prototypes", None, None, 1, 1)
    weight = tensors.take("classifier.last_layer.weight", None, len(prototypes))
    identity = tensors.take("classifier.proto_class_map", len(prototypes), len(weight))
    tensors.skip("classifier.similarity_layer._summation_kernel")
    active = identity.any(1)
    if bool(weight[:, ~active].any()):
        raise tensors.refusal("prototypes without a class have weights")
    return protopnet(
        prototypes[active],
        weight[:, active],
        _addon(model, tensors, ["Conv2d", "ReLU", "Conv2d", "Sigmoid"]),
        _backbone(model, tensors),
        identity=identity[active],
        settings={"epsilon": _epsilon(model)},
        data={"image_size": 224},
        assumed=_ASSUMED,
    )


def _protopool(model: ForeignModel, tensors: Tensors) -> Converted:
    slots = tensors.take("classifier.proto_slot_map", None, None, None)
    classes, count, per_class = slots.shape
    prototypes = tensors.take("classifier.prototypes", count, None, 1, 1)
    head = tensors.take("classifier.last_layer.weight", classes, classes * per_class)
    tensors.skip("classifier.slot_class_map", "classifier.similarity_layer._summation_kernel")
    addon = _addon(model, tensors, ["Conv2d", "Sigmoid"])
    return Converted(
        family="protopool",
        model={
            "prototypes": count,
            "slots": per_class,
            "prototype_channels": prototypes.shape[1],
            "epsilon": _epsilon(model),
        },
        weights={
            "branches.main.prototypes": prototypes,
            "branches.main.head.slot_logits": slots,
            "branches.main.head.weight": head,
            **{f"branches.main.addon.{name}": tensor for name, tensor in addon.items()},
        },
        backbone=_backbone(model, tensors),
        classes=classes,
        data={"image_size": 224},
        assumed=_ASSUMED,
    )


def _pipnet(model: ForeignModel, tensors: Tensors) -> Converted:
    head = tensors.take("classifier.last_layer.weight", None, None)
    tensors.skip("classifier.prototypes", "classifier.normalization_multiplier")
    classes, components = head.shape
    _addon(model, tensors, [])
    return Converted(
        family="pipnet",
        model={"inference_threshold": 0.0},
        weights={
            "branches.main.head.weight": head,
            "branches.main.prototypes": torch.arange(components, dtype=torch.float32).view(-1, 1, 1, 1),
        },
        backbone=_backbone(model, tensors),
        classes=classes,
        backbone_settings={"unstrided_stages": _unstrided(model, tensors)},
        data={"image_size": 224},
        assumed=_ASSUMED,
    )


_CLASSIFIERS: dict[str, Callable[[ForeignModel, Tensors], Converted]] = {
    "ProtoPNetClassifier": _protopnet,
    "ProtoPoolClassifier": _protopool,
    "PIPNetClassifier": _pipnet,
}


def _section(model: ForeignModel, *keys: str) -> Mapping[str, Any]:
    """A table of the description, empty where it is missing."""
    found: Any = model.architecture
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _text(model: ForeignModel, *keys: str) -> str:
    return str(_section(model, *keys[:-1]).get(keys[-1], ""))


def _addon(model: ForeignModel, tensors: Tensors, expected: list[str]) -> dict[str, Tensor]:
    """The tensors of the add-on by the place of their layers; convolutions without bias get one of zeros.

    Raises:
        UserError: It has other layers.
    """
    layers = _section(model, "extractor", "convnet", "add_on") or _section(model, "extractor", "add_on")
    tables = {name: layer for name, layer in layers.items() if isinstance(layer, Mapping)}
    named = {name: str(layer["type"]) for name, layer in tables.items() if "type" in layer}
    if list(named.values()) != expected:
        what = f"the add-on is {', '.join(named.values()) or 'empty'}, here it is {', '.join(expected) or 'empty'}"
        raise tensors.refusal(what)
    found: dict[str, Tensor] = {}
    for place, (name, kind) in enumerate(named.items()):
        if kind == "Conv2d":
            weight = tensors.take(f"extractor.add_on.{name}.weight", None, None, 1, 1)
            bias = tensors.under(f"extractor.add_on.{name}.bias").get("", torch.zeros(len(weight)))
            found |= {f"{place}.weight": weight, f"{place}.bias": bias}
    return found


def _backbone(model: ForeignModel, tensors: Tensors) -> dict[str, Tensor]:
    """Of networks whose layers end as they do here.

    Raises:
        UserError: Of others, or with strides that were changed.
    """
    network = _text(model, "extractor", "backbone", "arch")
    if not network.startswith(("resnet", "convnext")):
        raise tensors.refusal(f"the network '{network}' is cut in other places than here; resnets can be imported")
    if network.startswith("resnet") and _section(model, "extractor", "backbone", "postprocess"):
        raise tensors.refusal("the strides of its network were changed")
    return tensors.under("extractor.convnet.")


def _unstrided(model: ForeignModel, tensors: Tensors) -> int:
    changed = _section(model, "extractor", "backbone", "postprocess", "stride_divider")
    if not changed:
        return 0
    for least, stages in _WIDEST.items():
        if changed.get("ratio") == 2 and changed.get("min_channels") == least:
            return stages
    raise tensors.refusal("the strides of its network were changed in a way that is not known here")


def _epsilon(model: ForeignModel) -> float:
    """Of the logarithm of distances.

    Raises:
        UserError: Similarities are computed in another way.
    """
    name = _text(model, "similarity", "name") or _SIMILARITIES[0]
    if name not in _SIMILARITIES:
        raise UserError(f"the similarity '{name}' is not known here", model.where, f"known: {', '.join(_SIMILARITIES)}")
    found = _section(model, "similarity", "params").get("stability_factor", 1e-4)
    if not isinstance(found, float) or not 0 < found < 1:
        raise UserError(f"stability_factor is {found!r}, not a small number", model.where, "use it as CaBRNet wrote it")
    return found


CODE = OfficialCode(
    title=_TITLE,
    recognises=lambda model: (
        bool(model.architecture) and not any(name.startswith("classifier.tree.") for name in model.tensors)
    ),
    convert=convert,
)
