"""EvalProtoPNet (Huang et al. 2023): settings and schedule."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt

from protoexplain.models.family import Family, FamilyConfig, imported_when_built
from protoexplain.models.stage import Decay, ProjectedSchedule, Stage


class EvalProtoPNetConfig(FamilyConfig):
    """Shape of an EvalProtoPNet."""

    prototypes_per_class: int = Field(10, ge=1)
    prototype_channels: int = Field(64, ge=1)
    feature_norm: bool = False
    """Batch norm before the add-on, for backbones whose features are not rectified (EfficientNet-Lite)."""
    head: Literal["aggregation", "linear"] = "aggregation"
    """Score aggregation, or the linear layer of ProtoPNet that it replaces."""
    tolerance: float = Field(0.1, ge=0)
    """Differences between shallow and deep similarities that alignment leaves alone (delta)."""
    published_diagonal: bool = False
    """The orthogonality cost counts the diagonal, whose gradient is rounding noise for unit prototypes."""


class EvalProtoPNetLosses(BaseModel):
    """Weights of the loss terms (published values)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cross_entropy: float = 1.0
    cluster: float = 0.8
    separation: float = -0.08
    orthogonality: float = 1e-4
    alignment: float = 0.5
    """Of the joint stage; lambda."""


class EvalProtoPNetSchedule(ProjectedSchedule):
    """Warm-up and joint training (the published values), with projections."""

    epochs: int = Field(12, ge=1)
    """Where nothing is projected; otherwise the last projection ends training."""
    projections: tuple[NonNegativeInt, ...] = (11,)
    """Epochs, counted from 0, at whose end prototypes are projected; the published method never does (empty)."""
    lr_head: NonNegativeFloat = 1e-6
    """In warm-up and joint training, too small to move the head far."""
    lr_last_layer: NonNegativeFloat = 1e-3
    """In epochs of the head alone, which are not published either."""
    decay: Decay = Decay(kind="step", every=3, gamma=0.2)
    losses: EvalProtoPNetLosses = EvalProtoPNetLosses()


def stages(schedule: EvalProtoPNetSchedule) -> list[Stage]:
    """Alignment begins with the joint stage, the only one that trains what it acts on."""
    weights = schedule.losses.model_dump()
    alignment = {"alignment": weights.pop("alignment")}
    end = None if schedule.projections else schedule.epochs
    return schedule.stages(weights, alignment, schedule.lr_last_layer, end=end)


FAMILY = Family(
    title="EvalProtoPNet",
    paper="Huang et al. 2023, Evaluation and Improvement of Interpretability for Self-Explainable Part-Prototype "
    "Networks",
    config=EvalProtoPNetConfig,
    schedule=EvalProtoPNetSchedule,
    model=imported_when_built(f"{__name__}.network:EvalProtoPNet"),
    stages=stages,
    tiny={"prototypes_per_class": 2, "prototype_channels": 8},
)
