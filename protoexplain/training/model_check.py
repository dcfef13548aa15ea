"""Check that a model can be computed before it is trained, so that errors come at once and not after hours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from protoexplain.config import RunConfig
from protoexplain.errors import UserError
from protoexplain.models.backbones import Backbone
from protoexplain.models.base import PrototypeModel
from protoexplain.models.components import ComponentNet
from protoexplain.models.learned_ownership import LearnedOwnership
from protoexplain.models.object_gate import embedding_of
from protoexplain.models.parts import CHANNELS
from protoexplain.models.registry import get_family
from protoexplain.training.engine import outputs
from protoexplain.training.part_start import takes_embedding

_TRIES = 8
"""Multiples of the stride that are tried on each side of a size that a backbone cannot take."""


def check_configuration(config: RunConfig) -> None:
    """As `check_model`, with a model of random weights that is forgotten."""
    check_model(config, get_family(config.family).build(config.model, 2, load_weights=False))


@torch.no_grad()
def check_model(config: RunConfig, model: PrototypeModel) -> None:
    """Compute once, on two grey pictures of the configured size, all that the stages of a run will compute.

    Args:
        config: The run.
        model: On the CPU; left as it is.

    Raises:
        UserError: The backbone cannot take such pictures or gives other channels than it announces, nothing can be
            computed from what it gives, or its prototypes cannot start as they shall.
    """
    _check_start(config, model)
    size, training = config.data.image_size, model.training
    own_stages = get_family(config.family).stages(config.schedule)
    names = frozenset(name for stage in own_stages for name in stage.losses)
    pictures, labels = torch.full((2, 3, size, size), 0.5), torch.arange(2) % model.classes
    model.eval()
    try:
        _check_features(model, pictures[:1])
        model.loss_terms(outputs(model, "images", pictures, names=names), labels, names)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"the model cannot be computed on pictures of {size} x {size} pixels: {_first_line(error)}",
            "data.image_size, model",
            "choose another size of pictures, prototypes or backbone",
        ) from error
    finally:
        model.train(training)


def _check_start(config: RunConfig, model: PrototypeModel) -> None:
    first = config.training.fine_tuning
    if config.model.start != "parts":  # type: ignore[attr-defined]
        return
    if not (first.epochs and first.parts):
        fix = "set training.fine_tuning.epochs and training.fine_tuning.parts"
        raise UserError("prototypes can only start from parts that were looked for", "model.start", fix)
    shared = isinstance(model, LearnedOwnership)
    if first.steady and (shared or isinstance(model, ComponentNet)):
        told = "prototypes that belong to no class are not dropped as unsteady"
        raise UserError(told, "training.fine_tuning.steady", "set it to 0")
    channels = int(model.backbone.channels)  # type: ignore[arg-type]
    addons = [embedding_of(branch.addon) for _, branch in model.named_branches()]
    if shared and not all(takes_embedding(addon, channels, CHANNELS) for addon in addons):
        fix = f"set model.feature_norm to true and model.prototype_channels to {CHANNELS}"
        raise UserError("the add-on cannot begin as the embedding of the parts", "model.start", fix)


def _check_features(model: PrototypeModel, pictures: Tensor) -> None:
    backbone, size = model.backbone, pictures.shape[2]
    name, announced = getattr(backbone, "name", type(backbone).__name__), getattr(backbone, "channels", None)
    try:
        features: Tensor = backbone(pictures)
    except Exception as error:
        raise UserError(
            f"the backbone {name} cannot take pictures of {size} x {size} pixels: {_first_line(error)}",
            "data.image_size",
            _nearest_sizes(backbone, size),
        ) from error
    if features.dim() != 4 or features.shape[1] != announced:
        raise UserError(
            f"the backbone {name} announces maps of {announced} channels and gives {list(features.shape[1:])}",
            "model.backbone",
            "choose another stride or backbone",
        )


def _nearest_sizes(backbone: nn.Module, size: int) -> str:
    """Which sizes a backbone can take that cannot take this one: the nearest multiples of its stride, or its own."""
    if not isinstance(backbone, Backbone):
        return "choose another size, or another backbone"
    step = max(backbone.strides)
    below = range((size - 1) // step * step, 0, -step)[:_TRIES]
    above = range((size // step + 1) * step, size + _TRIES * step + 1, step)
    found = [next((side for side in sides if backbone.takes(side)), None) for sides in (below, above)]
    sizes = [side for side in found if side] or [side for side in [backbone.native_size] if backbone.takes(side)]
    if not sizes:
        return "choose another backbone"
    return f"choose {' or '.join(map(str, sizes))}, the nearest that it can take, or another backbone"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
