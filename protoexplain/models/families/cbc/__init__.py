"""Classification-By-Components, deep form of 2024 (Saralajew et al. 2025): settings and schedule."""

from __future__ import annotations

from pydantic import Field

from protoexplain.models.component_schedule import ComponentConfig, ComponentSchedule, three_phases
from protoexplain.models.family import Family, imported_when_built
from protoexplain.models.stage import Decay, Stage


class CBCConfig(ComponentConfig):
    """Shape of a deep CBC."""

    margin: float = Field(0.025, gt=0)


class CBCSchedule(ComponentSchedule):
    """Alignment pre-training, head, end to end; constant learning rates (published for CUB with ConvNeXt)."""

    decay: Decay = Decay()
    """Of the end-to-end phase, counted in its epochs; published: constant."""


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
    model=imported_when_built(f"{__name__}.network:CBC"),
    stages=stages,
    tiny={"components": 12},
)
