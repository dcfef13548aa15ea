"""PrototypeDL (Li et al. 2018): settings and schedule."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat

from protoexplain.models.backbone_config import BackboneConfig
from protoexplain.models.family import Family, FamilyConfig, imported_when_built
from protoexplain.models.stage import GROUPS, Decay, Stage


class PrototypeDLConfig(FamilyConfig):
    """Shape of a PrototypeDL."""

    backbone: BackboneConfig = BackboneConfig(name="conv_encoder", stride=16, weights="none")
    """The encoder; `conv_encoder` is the published one."""
    image_size: int = Field(28, ge=16, le=2048)
    """Side of the pictures that are encoded and decoded; the same number as `data.image_size`."""
    picture_channels: Literal[1, 3] = 3
    """Channels that the decoder draws: 1 compares and shows grey pictures, as published for MNIST."""
    prototypes: int = Field(15, ge=1)
    latent_channels: int = Field(0, ge=0)
    """Batch norm, a 1x1 convolution and ReLU to so many latent maps, for encoders whose features are many or not
    rectified; 0 takes the encoder's maps as they are (published)."""


class PrototypeDLLosses(BaseModel):
    """Weights of the loss terms (published values)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cross_entropy: float = 20.0
    reconstruction: float = 1.0
    r1: float = 1.0
    r2: float = 1.0


class PrototypeDLSchedule(BaseModel):
    """All weights together from scratch, without projection (published for MNIST)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(1500, ge=1)
    last_layer_epochs: int = Field(0, ge=0)
    """Of the head alone afterwards; published: none."""
    lr: NonNegativeFloat = 2e-3
    batch_size: int = Field(250, ge=1)
    """R1 and R2 are minima over a batch, which has to cover the data."""
    decay: Decay = Decay()
    losses: PrototypeDLLosses = PrototypeDLLosses()


def stages(schedule: PrototypeDLSchedule) -> list[Stage]:
    joint = Stage(
        name="joint",
        epochs=schedule.epochs,
        lr=dict.fromkeys(GROUPS, schedule.lr),
        losses=schedule.losses.model_dump(),
        batch_size=schedule.batch_size,
        decay=dict.fromkeys(GROUPS, schedule.decay),
    )
    last_layer = Stage(
        name="last layer",
        epochs=schedule.last_layer_epochs,
        lr={"head": schedule.lr},
        losses={"cross_entropy": schedule.losses.cross_entropy},
        batch_size=schedule.batch_size,
    )
    return [joint, last_layer]


FAMILY = Family(
    title="PrototypeDL",
    paper="Li et al. 2018, Deep Learning for Case-Based Reasoning through Prototypes",
    config=PrototypeDLConfig,
    schedule=PrototypeDLSchedule,
    model=imported_when_built(f"{__name__}.network:PrototypeDL"),
    stages=stages,
    tiny={"image_size": 64, "prototypes": 8, "latent_channels": 2},
)
