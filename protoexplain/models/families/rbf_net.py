"""RBF-net: the variant of deep CBC with positive reasoning alone, softmax weights over detected components.

Saralajew et al. (AAAI 2025); trained like PIP-Net (Nauta et al. 2023).  score_c = sum_k softmax(w_c)_k d_k.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from protoexplain.models import losses
from protoexplain.models.base import Branch, Family, PrototypeOutput
from protoexplain.models.components import (
    ComponentConfig,
    ComponentNet,
    ComponentSchedule,
    component_count,
    three_phases,
)
from protoexplain.models.heads import SoftmaxHead
from protoexplain.models.stage import Decay, Stage

WEIGHT_SHRINKAGE = 1e-3


class RBFNetSchedule(ComponentSchedule):
    """Alignment pre-training, head, end to end (published for CUB with ConvNeXt)."""

    head_epochs: int = Field(3, ge=0)
    joint_epochs: int = Field(81, ge=0)
    lr: float = 5e-4
    lr_head: float = 0.05
    head_restart: int = Field(10, ge=1)
    """The head's cosine schedule starts again after so many epochs."""


class RBFNet(ComponentNet):
    """Softmax-weighted sum of detection probabilities."""

    def __init__(self, config: ComponentConfig, classes: int, backbone: nn.Module, channels: int) -> None:
        super().__init__(config, classes, backbone, channels, SoftmaxHead(component_count(config, channels), classes))

    def probabilities(self, logits: Tensor) -> Tensor:
        """softmax(log(1 + o^2)), as the class loss reads the scores."""
        return logits.square().log1p().softmax(1)

    def loss_terms(
        self, output: PrototypeOutput, labels: Tensor, names: frozenset[str], active: str | None = None
    ) -> dict[str, Tensor]:
        """class: negative log likelihood of log_softmax(log(1 + o^2)); align and tanh on two views."""
        terms = {} if names == {"class"} else self.alignment_terms(output.branches["main"])
        if "class" in names:
            terms["class"] = losses.log_normalised_nll(output.logits, labels)
        return {name: value for name, value in terms.items() if name in names}

    def constrain(self, trained: frozenset[str]) -> None:
        """Head weights shrink towards zero after each step and stay non-negative."""
        branch = self.branches["main"]
        if "head" in trained and isinstance(branch, Branch) and isinstance(branch.head, SoftmaxHead):
            branch.head.weight.data.sub_(WEIGHT_SHRINKAGE).clamp_min_(0)


def stages(schedule: RBFNetSchedule) -> list[Stage]:
    network = {"backbone": schedule.lr, "addon": 10 * schedule.lr}
    total = max(1, schedule.pretrain_epochs + schedule.joint_epochs)
    network_decay = dict.fromkeys(network, Decay(kind="cosine", total=total, gamma=0.01))
    head_decay = {"head": Decay(kind="cosine", total=schedule.head_restart, gamma=0.02)}
    return three_phases(
        schedule,
        network=network,
        joint_head=schedule.lr_head,
        head_losses={"class": 2.0},
        joint_losses={"class": 2.0, "align": 5.0, "tanh": 2.0},
        pretrain_decay=network_decay,
        head_decay=head_decay,
        joint_decay={**network_decay, **head_decay},
    )


FAMILY = Family(
    title="RBF-net",
    paper="Saralajew et al. 2025, A Robust Prototype-Based Network with Interpretable RBF Classifier Foundations",
    config=ComponentConfig,
    schedule=RBFNetSchedule,
    model=RBFNet,
    stages=stages,
    tiny={"components": 12},
)
