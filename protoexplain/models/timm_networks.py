"""Networks of timm by name, so that they take pictures of as many sizes as they can."""

from __future__ import annotations

import difflib
from typing import Any

import timm

from protoexplain.errors import UserError
from protoexplain.models import autoencoder, inaturalist, pixels  # noqa: F401 - make their networks known to timm


def create_network(name: str) -> Any:  # noqa: ANN401 - timm's models have no common type
    """A network of random weights without classifier.

    Raises:
        UserError: Unknown name, or a network without feature maps.
    """
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
