"""ProtoTree (Nauta et al. 2021): settings and schedule."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat

from protoexplain.models.family import Family, FamilyConfig, imported_when_built
from protoexplain.models.stage import Decay, Stage


class ProtoTreeConfig(FamilyConfig):
    """Shape of a ProtoTree."""

    start: Literal["random", "parts"] = "random"
    """Random numbers, or ``parts``: a tree that is grown over the looks of parts in the classes, where
    `training.fine_tuning.parts` looked for them."""
    depth: int = Field(9, ge=1, le=14)
    """Decisions on each way; 2^depth leaves, and one prototype less."""
    prototype_channels: int = Field(256, ge=1)
    feature_norm: bool = False
    """Batch norm before the add-on, for backbones whose features are not rectified (EfficientNet-Lite)."""
    pruning: float = Field(2.0, ge=0)
    """Subtrees are cut off before the projection whose leaves give no class more than so many times the probability
    that it would have by chance; published: 0.01 for 200 classes."""


class ProtoTreeLosses(BaseModel):
    """Weights of the loss terms (published values)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cross_entropy: float = 1.0


class ProtoTreeSchedule(BaseModel):
    """Epochs with frozen lower layers, epochs of everything, pruning, one projection (published for CUB).

    Leaves are learned in all epochs.  A group with learning rate 0 stays as it is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    warm_epochs: int = Field(30, ge=0)
    """Without the layers up to `backbone.lower_stride` or `lower_until`."""
    joint_epochs: int = Field(70, ge=0)
    lr_lower: NonNegativeFloat = 1e-5
    lr_backbone: NonNegativeFloat = 1e-3
    """Of the layers above."""
    lr_addon: NonNegativeFloat = 1e-3
    lr_prototypes: NonNegativeFloat = 1e-3
    decay: Decay = Decay(kind="at", epochs=(61, 71, 81, 91), gamma=0.5)
    """Counted over all epochs."""
    losses: ProtoTreeLosses = ProtoTreeLosses()


def stages(schedule: ProtoTreeSchedule) -> list[Stage]:
    rates = {"addon": schedule.lr_addon, "prototypes": schedule.lr_prototypes}
    if schedule.lr_backbone:
        rates["backbone"] = schedule.lr_backbone
    warm = Stage(
        name="joint",
        epochs=schedule.warm_epochs,
        lr=rates,
        losses=schedule.losses.model_dump(),
        decay=dict.fromkeys(("lower", *rates), schedule.decay),
        optimizer="adamw",
        epsilon=1e-7,
    )
    everything = {"lower": schedule.lr_lower, **rates} if schedule.lr_lower else rates
    last = {"epochs": schedule.joint_epochs, "lr": everything, "project": True}
    return [warm, warm.model_copy(update=last)]


FAMILY = Family(
    title="ProtoTree",
    paper="Nauta et al. 2021, Neural Prototype Trees for Interpretable Fine-grained Image Recognition",
    config=ProtoTreeConfig,
    schedule=ProtoTreeSchedule,
    model=imported_when_built(f"{__name__}.network:ProtoTree"),
    stages=stages,
    tiny={"depth": 4, "prototype_channels": 8, "pruning": 0},
)
