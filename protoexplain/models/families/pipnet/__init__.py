"""PIP-Net (Nauta et al. 2023): settings and schedule."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat

from protoexplain.models.component_schedule import ComponentConfig, ComponentSchedule, three_phases
from protoexplain.models.family import Family, imported_when_built
from protoexplain.models.stage import Decay, Stage


class PIPNetConfig(ComponentConfig):
    """Shape of a PIP-Net."""

    inference_threshold: float = Field(0.1, ge=0, lt=1)
    """Detections below this count as absent at inference, so that the model can abstain."""


class PIPNetSchedule(ComponentSchedule):
    """Pre-training without labels, head, everything but the lower layers, everything (published for CUB and Cars)."""

    pretrain_epochs: int = Field(10, ge=0)
    head_epochs: int = Field(3, ge=0)
    joint_epochs: int = Field(57, ge=0)
    lower_frozen_epochs: int = Field(7, ge=0)
    """So many joint epochs pass before the layers up to `backbone.lower_stride` are trained too."""
    lr: NonNegativeFloat = 5e-4
    lr_head: NonNegativeFloat = 0.05
    head_restart: int = Field(10, ge=1)
    """The head's learning rate starts again after so many epochs of the head and joint phases (5 if they have 30)."""


def stages(schedule: PIPNetSchedule) -> list[Stage]:
    network = {"backbone": schedule.lr, "addon": 10 * schedule.lr}
    trained = schedule.head_epochs + schedule.joint_epochs
    pretrain, head, joint = three_phases(
        schedule,
        network=network,
        joint_head=schedule.lr_head,
        head_losses={"class": 2.0},
        joint_losses={"class": 2.0, "align": 5.0, "tanh": 2.0},
        pretrain_decay=dict.fromkeys(network, _falling(schedule.pretrain_epochs, 0.01)),
        head_decay={"head": _falling(schedule.head_restart, 0.02)},
        joint_decay={
            **dict.fromkeys(("lower", *network), _falling(trained, 0.01)),
            "head": _falling(schedule.head_restart, 0.02, schedule.head_epochs),
        },
    )
    upper = min(schedule.lower_frozen_epochs, schedule.joint_epochs)
    everything = {"epochs": joint.epochs - upper, "lr": {"lower": schedule.lr, **joint.lr}}
    return [pretrain, head, joint.model_copy(update={"epochs": upper}), joint.model_copy(update=everything)]


def _falling(epochs: int, floor: float, begun: int = 0) -> Decay:
    return Decay(kind="cosine", total=max(1, epochs), gamma=floor, begun=begun, by_step=True)


FAMILY = Family(
    title="PIP-Net",
    paper="Nauta et al. 2023, PIP-Net: Patch-Based Intuitive Prototypes for Interpretable Image Classification",
    config=PIPNetConfig,
    schedule=PIPNetSchedule,
    model=imported_when_built(f"{__name__}.network:PIPNet"),
    stages=stages,
    tiny={"components": 8},
)
