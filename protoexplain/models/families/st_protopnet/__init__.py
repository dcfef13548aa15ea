"""ST-ProtoPNet (Wang et al. 2023): settings and schedule."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt

from protoexplain.models.family import Family, FamilyConfig, imported_when_built
from protoexplain.models.stage import Decay, ProjectedSchedule, Stage


class STProtoPNetConfig(FamilyConfig):
    """Shape of an ST-ProtoPNet."""

    variant: Literal["cropped", "full"] = "cropped"
    prototypes_per_class: int = Field(5, ge=1)
    """In each of the two branches."""
    prototype_channels: int = Field(64, ge=1)
    feature_norm: bool = False
    """Batch norm before the add-on, for backbones whose features are not rectified (EfficientNet-Lite)."""
    upsample: bool = True
    """`full` doubles the map before the add-on (the published code skips this for VGG)."""
    other_class_weight: float = -0.5
    """First weight of a prototype for classes that it does not belong to; with 0 explanations are short."""
    published_masking: bool = False
    """Costs mask by multiplication, as published: negative similarities count as 0 and get no gradient."""
    published_diagonal: bool = False
    """The orthogonality cost counts the diagonal, whose gradient is rounding noise for unit prototypes."""


class STProtoPNetLosses(BaseModel):
    """Weights of the loss terms (published values)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cross_entropy: float = 1.0
    cluster: float = -0.8
    separation_trivial: float = 0.08
    separation_support: float = 0.48
    orthogonality: float = 1e-3
    discrimination: float = 1.0
    closeness: float = 1.0
    l1: float = 1e-4


class STProtoPNetSchedule(ProjectedSchedule):
    """Warm-up, joint training and projections (the published values for CUB crops)."""

    epochs: int = Field(30, ge=1)
    projections: tuple[NonNegativeInt, ...] = (20,)
    last_layer_epochs: int = Field(10, ge=0)
    end_projected: bool = True
    """Stop after the last projection; the published schedule goes on and moves prototypes off their patches."""
    weight_decay: NonNegativeFloat = 5e-4
    decay: Decay = Decay(kind="at", epochs=(3, 5, 7, 9), gamma=0.2)
    """Counted in joint epochs from 1: before epochs 7, 9, 11 and 13 of the run."""
    losses: STProtoPNetLosses = STProtoPNetLosses()


def stages(schedule: STProtoPNetSchedule) -> list[Stage]:
    """One branch per step in turn."""
    end = None if schedule.end_projected and schedule.projections else schedule.epochs
    return schedule.stages(schedule.losses.model_dump(), alternate=True, end=end)


FAMILY = Family(
    title="ST-ProtoPNet",
    paper="Wang et al. 2023, Learning Support and Trivial Prototypes for Interpretable Image Classification",
    config=STProtoPNetConfig,
    schedule=STProtoPNetSchedule,
    model=imported_when_built(f"{__name__}.network:STProtoPNet"),
    stages=stages,
    tiny={"prototypes_per_class": 2, "prototype_channels": 8},
)
