"""Classification-By-Components, deep form of 2024: positive and negative reasoning over detected components.

Saralajew et al., "A Robust Prototype-Based Network with Interpretable RBF Classifier Foundations" (AAAI 2025).
Each class says which components it wants to find (positive reasoning) and which it wants to miss (negative
reasoning).  Class scores are probabilities, one for each class.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from protoexplain.models import losses
from protoexplain.models.base import Family, PrototypeOutput
from protoexplain.models.components import (
    ComponentConfig,
    ComponentNet,
    ComponentSchedule,
    component_count,
    three_phases,
)
from protoexplain.models.contract import PROBABILITIES
from protoexplain.models.heads import ReasoningHead
from protoexplain.models.stage import Decay, Stage


class CBCConfig(ComponentConfig):
    """Shape of a deep CBC."""

    margin: float = Field(0.025, gt=0)


class CBCSchedule(ComponentSchedule):
    """Alignment pre-training, head, end to end; constant learning rates (published for CUB with ConvNeXt)."""

    decay: Decay = Decay()
    """Of the end-to-end phase, counted in its epochs; published: constant."""


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


def stages(schedule: CBCSchedule) -> list[Stage]:
    network = {"backbone": schedule.lr, "addon": schedule.lr}
    return three_phases(
        schedule,
        network=network,
        joint_head=schedule.lr,
        head_losses={"margin": 1.0},
        joint_losses={"margin": 1.0},
        pretrain_decay={},
        head_decay={},
        joint_decay=dict.fromkeys((*network, "head"), schedule.decay),
    )


FAMILY = Family(
    title="Classification-By-Components",
    paper="Saralajew et al. 2025, A Robust Prototype-Based Network with Interpretable RBF Classifier Foundations",
    config=CBCConfig,
    schedule=CBCSchedule,
    model=CBC,
    stages=stages,
    tiny={"components": 12},
)
