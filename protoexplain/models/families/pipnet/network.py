"""PIP-Net: a sparse scoring sheet over patch prototypes that two views of an image agree on.

Nauta et al., "PIP-Net: Patch-Based Intuitive Prototypes for Interpretable Image Classification" (CVPR 2023).
Prototypes are channels under a softmax at every location, first trained without labels so that both views of an image
show the same ones.  score_c = sum_k max(W_ck, 0) d_k: found prototypes speak for classes, nothing speaks against one,
and an image in which nothing is found has no score for any class.
"""

from __future__ import annotations

from torch import Tensor, nn

from protoexplain.models.components import NonNegativeNet, component_count
from protoexplain.models.families.pipnet import PIPNetConfig
from protoexplain.models.heads import RectifiedHead


class PIPNet(NonNegativeNet):
    """Non-negative sum of detection probabilities."""

    def __init__(self, config: PIPNetConfig, classes: int, backbone: nn.Module, channels: int) -> None:
        super().__init__(config, classes, backbone, channels, RectifiedHead(component_count(config, channels), classes))

    def finalize(self, similarity: Tensor) -> None:
        """Prototypes that are found in no training image lose their weights."""
        weight = self.head_weight()
        weight[:, ~self.detection.found(similarity).to(weight.device)] = 0
