"""Classification-By-Components, deep form of 2024: positive and negative reasoning over detected components.

Saralajew et al., "A Robust Prototype-Based Network with Interpretable RBF Classifier Foundations" (AAAI 2025).
Each class says which components it wants to find (positive reasoning) and which it wants to miss (negative
reasoning).  Class scores are probabilities, one for each class.
"""

from __future__ import annotations

from torch import Tensor, nn

from protoexplain.models import losses
from protoexplain.models.base import PrototypeOutput
from protoexplain.models.components import ComponentNet, component_count
from protoexplain.models.contract import PROBABILITIES
from protoexplain.models.families.cbc import CBCConfig
from protoexplain.models.reasoning import ReasoningHead


class CBC(ComponentNet):
    """Reasoning over components; evidence by presence and by absence."""

    score_unit = PROBABILITIES

    def __init__(self, config: CBCConfig, classes: int, backbone: nn.Module, channels: int) -> None:
        super().__init__(config, classes, backbone, channels, ReasoningHead(component_count(config, channels), classes))
        self.margin = config.margin

    def loss_terms(
        self, output: PrototypeOutput, labels: Tensor, names: frozenset[str], active: str | None = None
    ) -> dict[str, Tensor]:
        """margin: mean of max(0, best other - own + margin); align and tanh on two views."""
        terms = {} if names == {"margin"} else self.alignment_terms(output.branches["main"])
        if "margin" in names:
            terms["margin"] = losses.margin_loss(output.logits, labels, self.margin).mean()
        return {name: value for name, value in terms.items() if name in names}
