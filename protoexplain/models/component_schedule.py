"""Settings and the three phases of training of networks over channel components (CBC, PIP-Net and RBF-net)."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat

from protoexplain.models.family import FamilyConfig
from protoexplain.models.stage import Decay, Stage


class ComponentConfig(FamilyConfig):
    """Shape of a network over channel components."""

    components: int = Field(0, ge=0)
    """A trained 1x1 convolution to so many components; 0 takes the backbone's channels as they are."""
    inference_threshold: float = Field(0.0, ge=0, lt=1)
    """Detections below this count as absent at inference (published: 0.1, which training never sees)."""


class ComponentSchedule(BaseModel):
    """The three phases; families set their published numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pretrain_epochs: int = Field(12, ge=0)
    head_epochs: int = Field(48, ge=0)
    joint_epochs: int = Field(84, ge=0)
    lr: NonNegativeFloat = 3.75e-4
    """Of the network, in pre-training and end to end."""
    lr_head: NonNegativeFloat = 5e-3
    pretrain_batch_size: int | None = Field(None, ge=1)


def three_phases(
    schedule: ComponentSchedule,
    *,
    network: Mapping[str, float],
    joint_head: float,
    head_losses: Mapping[str, float],
    joint_losses: Mapping[str, float],
    pretrain_decay: Mapping[str, Decay],
    head_decay: Mapping[str, Decay],
    joint_decay: Mapping[str, Decay],
) -> list[Stage]:
    """Pre-training of the network, the head alone, end to end.

    Args:
        schedule: Epochs.
        network: Learning rates of backbone and add-on.
        joint_head: Learning rate of the head end to end.
        head_losses: Loss weights while the head trains.
        joint_losses: End to end.
        pretrain_decay: Decay of learning rates in each phase, by group.
        head_decay: The same.
        joint_decay: The same.
    """
    pretrain = Stage(
        name="pretrain",
        epochs=schedule.pretrain_epochs,
        lr=dict(network),
        losses={"align": 1.0, "tanh": 5.0},
        ramps=("align",),
        optimizer="adamw",
        batch_size=schedule.pretrain_batch_size,
        decay=dict(pretrain_decay),
    )
    head = Stage(
        name="head",
        epochs=schedule.head_epochs,
        lr={"head": schedule.lr_head},
        losses=dict(head_losses),
        optimizer="adamw",
        decay=dict(head_decay),
    )
    joint = Stage(
        name="joint",
        epochs=schedule.joint_epochs,
        lr={**network, "head": joint_head},
        losses=dict(joint_losses),
        optimizer="adamw",
        decay=dict(joint_decay),
    )
    return [pretrain, head, joint]
