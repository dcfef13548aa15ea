"""Backbones of random weights."""

from __future__ import annotations

from protoexplain.models.backbone_config import BackboneConfig
from protoexplain.models.backbones import Backbone


def random(name: str, **settings: object) -> Backbone:
    return Backbone(BackboneConfig(name=name, weights="none", **settings)).eval()


def names(backbone: Backbone) -> set[str]:
    trained = {id(p) for p in backbone.trainable_parameters()}
    return {name for name, p in backbone.net.named_parameters() if id(p) in trained}
