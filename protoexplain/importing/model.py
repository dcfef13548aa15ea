"""A foreign model in our own terms: configuration and network, filled with its tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from protoexplain.config import RunConfig, merged, parse, parse_assignment
from protoexplain.errors import UserError
from protoexplain.importing.backbone import backbone_of
from protoexplain.importing.code import Converted
from protoexplain.importing.foreign import ForeignModel
from protoexplain.importing.registry import code_of
from protoexplain.io.tensors import fill
from protoexplain.models.base import PrototypeModel
from protoexplain.models.registry import get_family

_FIX = "give a file of the official code as it is; --set model.backbone.name=NAME names another backbone"


@dataclass(frozen=True)
class ImportedModel:
    """A model that was imported, and is in no checkpoint yet.

    Args:
        model: In eval mode.
        config: That builds it.
        title: The official code.
        kept: The number of each prototype in a fresh model.
        assumed: What the file does not tell, one sentence each.
    """

    model: PrototypeModel
    config: RunConfig
    title: str
    kept: tuple[int, ...]
    assumed: tuple[str, ...]


def imported_model(
    foreign: ForeignModel, code: str | None = None, classes: int | None = None, assignments: Sequence[str] = ()
) -> ImportedModel:
    """Build a family's model and fill it with the tensors of a foreign one.

    Args:
        foreign: The model.
        code: Whose code it is of; recognised by the names of the tensors if None.
        classes: How many, where they are known.
        assignments: Changes of the configuration, such as ``data.image_size=192``.

    Raises:
        UserError: Another code, tensors that are missing or left over, other shapes, or ill settings.
    """
    entry = code_of(foreign, code)
    found = entry.convert(foreign, classes)
    if classes not in (None, found.classes):
        raise UserError(
            f"the model has {found.classes} classes, but {classes} are named", foreign.where, "name them all"
        )
    config, tensors = _configured(found, foreign.where, assignments)
    model = filled(found, config, tensors, foreign.where)
    kept = tuple(range(model.num_prototypes)) if found.kept is None else found.kept
    return ImportedModel(model, config, entry.title, kept, found.assumed)


def filled(
    found: Converted, config: RunConfig, tensors: Mapping[str, Tensor], where: str, backbone: nn.Module | None = None
) -> PrototypeModel:
    """The model of a configuration with the weights that were found, in eval mode.

    Args:
        found: The weights.
        config: The configuration.
        tensors: Of the backbone, by their names in timm.
        where: They come from, for errors.
        backbone: Has `channels`, and no tensors; created from the configuration if None.

    Raises:
        UserError: They do not fit the model.
    """
    with torch.random.fork_rng(devices=[]):
        model = get_family(config.family).build(config.model, found.classes, backbone, load_weights=False)
    if found.kept is not None:
        model.select(torch.tensor(found.kept))
    numbers = {name: tensor for name, tensor in model.state_dict().items() if not tensor.is_floating_point()}
    network = {f"backbone.net.{name}": tensor for name, tensor in tensors.items()}
    fill(model, {**numbers, **found.weights, **network}, where, _FIX)
    model.set_ownership(model.ownership)
    return model.eval()


def _configured(found: Converted, where: str, assignments: Sequence[str]) -> tuple[RunConfig, Mapping[str, Tensor]]:
    """The configuration with the backbone that is recognised or named, and the tensors of the backbone."""
    changes: dict[str, Any] = {}
    for assignment in assignments:
        changes = merged(changes, parse_assignment(assignment))
    named = (changes.get("model") or {}).get("backbone") or {}
    if "name" in named:
        network: dict[str, Any] = {"stride": 32}
        tensors = found.backbone
    else:
        backbone = backbone_of(found.backbone, where)
        network = {"name": backbone.name, "stride": backbone.stride}
        tensors = backbone.tensors
    raw = {
        "family": found.family,
        "about": "imported from another program",
        "model": {**found.model, "backbone": {"weights": "none", **network, **found.backbone_settings}},
        "data": {"validation": 0, "augmentation": "none", **found.data},
    }
    return parse(merged(raw, changes)), tensors
