"""TesNet (Wang et al. 2021): settings and schedule."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from protoexplain.models.family import Family, FamilyConfig, imported_when_built
from protoexplain.models.stage import Decay, ProjectedSchedule, Stage


class TesNetConfig(FamilyConfig):
    """Shape of a TesNet."""

    prototypes_per_class: int = Field(10, ge=1)
    """At most as many as channels can be orthogonal."""
    prototype_channels: int = Field(64, ge=1)
    addon: Literal["regular", "bottleneck", "linear"] = "regular"
    """Published: two 1 x 1 convolutions or a halving chain of pairs, then a sigmoid; or one convolution alone."""
    feature_norm: bool = False
    """Batch norm before the add-on, for backbones whose features are not rectified (EfficientNet-Lite)."""
    other_class_weight: float = -0.5
    """First weight of a prototype for classes that it does not belong to; with 0 explanations are short."""
    published_diagonal: bool = False
    """The orthogonality cost counts the diagonal, whose gradient is rounding noise for unit prototypes."""


class TesNetLosses(BaseModel):
    """Weights of the loss terms (published values)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cross_entropy: float = 1.0
    cluster: float = 0.8
    separation: float = -0.08
    orthogonality: float = 1e-4
    subspace_separation: float = -1e-7
    l1: float = 1e-4


class TesNetSchedule(ProjectedSchedule):
    """Warm-up, joint training and one projection (the published values)."""

    epochs: int = Field(20, ge=1)
    projections: tuple[NonNegativeInt, ...] = (10,)
    last_layer_epochs: int = Field(20, ge=0)
    end_projected: bool = True
    """Stop after the last projection; the published schedule goes on and moves prototypes off their patches."""
    decay: Decay = Decay(kind="step", every=5, gamma=0.1)
    losses: TesNetLosses = TesNetLosses()


def stages(schedule: TesNetSchedule) -> list[Stage]:
    end = None if schedule.end_projected and schedule.projections else schedule.epochs
    return schedule.stages(schedule.losses.model_dump(), end=end)


FAMILY = Family(
    title="TesNet",
    paper="Wang et al. 2021, Interpretable Image Recognition by Constructing Transparent Embedding Space",
    config=TesNetConfig,
    schedule=TesNetSchedule,
    model=imported_when_built(f"{__name__}.network:TesNet"),
    stages=stages,
    tiny={"prototypes_per_class": 2, "prototype_channels": 8},
)
