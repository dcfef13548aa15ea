"""RBF-net: the variant of deep CBC with positive reasoning alone, softmax weights over detected components.

Saralajew et al. (AAAI 2025); trained like PIP-Net (Nauta et al. 2023).  score_c = sum_k softmax(w_c)_k d_k.
"""

from __future__ import annotations

from torch import nn

from protoexplain.models.component_schedule import ComponentConfig
from protoexplain.models.components import NonNegativeNet, component_count
from protoexplain.models.heads import SoftmaxHead


class RBFNet(NonNegativeNet):
    """Softmax-weighted sum of detection probabilities."""

    def __init__(self, config: ComponentConfig, classes: int, backbone: nn.Module, channels: int) -> None:
        super().__init__(config, classes, backbone, channels, SoftmaxHead(component_count(config, channels), classes))
