"""RBF-net (Saralajew et al. 2025): settings and schedule."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat

from protoexplain.models.component_schedule import ComponentConfig, ComponentSchedule, three_phases
from protoexplain.models.family import Family, imported_when_built
from protoexplain.models.stage import Decay, Stage


class RBFNetSchedule(ComponentSchedule):
    """Alignment pre-training, head, end to end (published for CUB with ConvNeXt)."""

    head_epochs: int = Field(3, ge=0)
    joint_epochs: int = Field(81, ge=0)
    lr: NonNegativeFloat = 5e-4
    lr_head: NonNegativeFloat = 0.05
    head_restart: int = Field(10, ge=1)
    """The head's cosine schedule starts again after so many epochs."""


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
    model=imported_when_built(f"{__name__}.network:RBFNet"),
    stages=stages,
    tiny={"components": 12},
)
