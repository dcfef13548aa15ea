"""ProtoPNet (Chen et al. 2019): settings and schedule."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from protoexplain.models.family import Family, FamilyConfig, imported_when_built
from protoexplain.models.stage import Decay, ProjectedSchedule, Stage


class ProtoPNetConfig(FamilyConfig):
    """Shape of a ProtoPNet."""

    prototypes_per_class: int = Field(10, ge=1)
    prototype_channels: int = Field(128, ge=1)
    prototype_size: tuple[int, int] = (1, 1)
    """Cells of a prototype, down and across; with (2, 2) each prototype has four cells."""
    addon: Literal["regular", "bottleneck", "linear"] = "regular"
    """Published: two 1 x 1 convolutions or a halving chain of pairs, then a sigmoid; or one convolution alone."""
    feature_norm: bool = False
    """Batch norm before the add-on, for backbones whose features are not rectified (EfficientNet-Lite)."""
    similarity: Literal["l2", "cosine"] = "l2"
    activation: Literal["log", "linear"] = "log"
    """Of distances; a cosine is its own activation."""
    epsilon: float = Field(1e-4, gt=0)
    """In log((d + 1) / (d + epsilon))."""
    other_class_weight: float = -0.5
    """First weight of a prototype for classes that it does not belong to; with 0 explanations are short."""
    published_saturation: bool = False
    """Costs saturate at D*h*w with zero gradient, as in the published code, where all candidates are farther."""


class ProtoPNetLosses(BaseModel):
    """Weights of the loss terms (published values)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cross_entropy: float = 1.0
    cluster: float = 0.8
    separation: float = -0.08
    l1: float = 1e-4


class ProtoPNetSchedule(ProjectedSchedule):
    """Warm-up, joint training, projections each followed by last-layer epochs (the published values).

    The last projection ends training; the head trains only after projections.
    """

    projections: tuple[NonNegativeInt, ...] = (10, 20, 30)
    last_layer_epochs: int = Field(20, ge=0)
    decay: Decay = Decay(kind="step", every=5, gamma=0.1)
    losses: ProtoPNetLosses = ProtoPNetLosses()


def stages(schedule: ProtoPNetSchedule) -> list[Stage]:
    return schedule.stages(schedule.losses.model_dump())


FAMILY = Family(
    title="ProtoPNet",
    paper="Chen et al. 2019, This Looks Like That: Deep Learning for Interpretable Image Recognition",
    config=ProtoPNetConfig,
    schedule=ProtoPNetSchedule,
    model=imported_when_built(f"{__name__}.network:ProtoPNet"),
    stages=stages,
    tiny={"prototypes_per_class": 2, "prototype_channels": 8},
)
