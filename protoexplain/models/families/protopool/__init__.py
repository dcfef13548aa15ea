"""ProtoPool (Rymarczyk et al. 2022): settings and schedule."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, model_validator

from protoexplain.models.family import Family, FamilyConfig, imported_when_built
from protoexplain.models.stage import Annealing, Decay, ProjectedSchedule, Stage


class ProtoPoolConfig(FamilyConfig):
    """Shape of a ProtoPool."""

    start: Literal["random", "parts"] = "random"
    """Random numbers, or ``parts``: kinds of looks of the parts that `training.fine_tuning.parts` looked for, which
    slots of the classes choose."""
    prototypes: int = Field(202, ge=2)
    """In the pool; more than slots."""
    slots: int = Field(10, ge=1)
    """Of each class, each of which chooses one prototype of the pool."""
    prototype_channels: int = Field(256, ge=1)
    feature_norm: bool = False
    """Batch norm before the add-on, for backbones whose features are not rectified (EfficientNet-Lite)."""
    activation: Literal["log", "linear"] = "log"
    """Of distances d: log((d + 1) / (d + epsilon)), or 1 / (d + 1)."""
    epsilon: float = Field(1e-4, gt=0)
    published_saturation: bool = False
    """Costs saturate at the number of channels with zero gradient, as in the published code, where all candidates are
    farther."""

    @model_validator(mode="after")
    def _pool_is_larger(self) -> Self:
        if self.prototypes <= self.slots:
            raise ValueError("a pool needs more prototypes than a class has slots")
        return self


class ProtoPoolLosses(BaseModel):
    """Weights of the loss terms (published values)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cross_entropy: float = 1.0
    cluster: float = 0.8
    separation: float = -0.08
    orthogonality: float = 1.0
    l1: float = 1e-4


class ProtoPoolSchedule(ProjectedSchedule):
    """Warm-up, joint training, one projection, last-layer epochs.

    Published are up to 300 epochs, ended early by the accuracy on the test images, which nothing is chosen by here;
    after 40 the published learning rates have come to nothing.
    """

    warm_epochs: int = Field(9, ge=0)
    projections: tuple[NonNegativeInt, ...] = (39,)
    last_layer_epochs: int = Field(25, ge=0)
    anneal_epochs: int = Field(30, ge=1)
    """Epochs after which slots have chosen: the noise of their choice, relative to what they learned, falls as
    1 / sqrt(epoch) to a thousandth."""
    mixup: bool = True
    """Show each picture mixed with another of its batch (published); the whole network then sees every picture of every
    epoch, and nothing can be cached."""
    lr_backbone: NonNegativeFloat = 5e-5
    lr_addon: NonNegativeFloat = 1.5e-3
    lr_prototypes: NonNegativeFloat = 1.5e-3
    lr_slots: NonNegativeFloat = 1.5e-3
    lr_head: NonNegativeFloat = 5e-5
    decay: Decay = Decay(kind="at", epochs=tuple(range(6, 32, 5)), gamma=0.1)
    last_layer_decay: Decay = Decay(kind="at", epochs=(6, 11, 16, 21), gamma=0.95)
    losses: ProtoPoolLosses = ProtoPoolLosses()


def stages(schedule: ProtoPoolSchedule) -> list[Stage]:
    """Slots are trained wherever prototypes are."""
    weights = schedule.losses.model_dump()
    if schedule.mixup:
        weights["mixed_cross_entropy"] = weights.pop("cross_entropy")
    rows: list[Stage] = []
    done = 0
    for stage in schedule.stages(weights):
        if "prototypes" in stage.lr:
            changes = {
                "lr": {**stage.lr, "slots": schedule.lr_slots},
                "decay": {**stage.decay, **({"slots": schedule.decay} if stage.decay else {})},
                "annealing": Annealing(begun=done, over=schedule.anneal_epochs),
            }
            done += stage.epochs
        else:
            changes = {"weight_decay": {"head": schedule.weight_decay}}
        rows.append(stage.model_copy(update=changes))
    return rows


FAMILY = Family(
    title="ProtoPool",
    paper="Rymarczyk et al. 2022, Interpretable Image Classification with Differentiable Prototypes Assignment",
    config=ProtoPoolConfig,
    schedule=ProtoPoolSchedule,
    model=imported_when_built(f"{__name__}.network:ProtoPool"),
    stages=stages,
    tiny={"prototypes": 12, "slots": 8, "prototype_channels": 8},
)
