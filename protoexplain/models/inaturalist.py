"""The ResNet-50 whose published weights are those of iNaturalist 2017: its last layer has a block more than usual.

Zhou et al. 2020, "BBN: Bilateral-Branch Network".  Methods of this field take it for birds; timm does not have it.
"""

from __future__ import annotations

from typing import Any

from timm.models import register_model
from timm.models.resnet import Bottleneck, ResNet
from torch import nn


@register_model
def resnet50_inat(pretrained: bool = False, num_classes: int = 1000, **_: object) -> nn.Module:
    """Without weights of its own: give them as a file, or import a model."""
    net: Any = ResNet(Bottleneck, (3, 4, 6, 4), num_classes=num_classes)  # type: ignore[arg-type]
    net.pretrained_cfg = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "classifier": "fc"}
    return net
