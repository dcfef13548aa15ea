"""Non-parametric part prototypes (Zhu et al. 2025): settings and schedule."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat

from protoexplain.models.family import Family, FamilyConfig, imported_when_built
from protoexplain.models.stage import Stage


class NonParametricConfig(FamilyConfig):
    """Shape of a network whose prototypes are centres of patches.

    Which cells show the object is told by the object gate, where there is one, else by the first principal component
    of the patches, which needs pictures that are cut to their objects.
    """

    prototypes_per_class: int = Field(5, ge=1)
    """The background has as many, which take part in training alone."""
    feature_norm: bool = False
    """Channels are put to mean 0 and deviation 1 over the training patches before training, for backbones that do not
    end with a layer norm."""
    momentum: float = Field(0.99, ge=0, lt=1)
    """What a step leaves of a prototype."""
    temperature: float = Field(0.2, gt=0)
    """Class scores are divided by it."""
    patch_temperature: float = Field(0.1, gt=0)
    """Of the cost that tells patches apart."""
    background_weight: float = Field(0.1, ge=0)
    """Of patches of the background in that cost."""
    published_sums: bool = False
    """Prototypes move by the sum of their patches in a step, as in the published code, not by the mean."""
    published_foreground: bool = False
    """The principal component is that of each batch, its direction that in which the first channel is negative, and the
    object lies below the middle of its range, as in the published code; whether it does depends on the backbone."""


class NonParametricLosses(BaseModel):
    """Weights of the loss terms (published values)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cross_entropy: float = 1.0
    patches: float = 0.8
    """Tells the patches of a prototype from those of all others."""


class NonParametricSchedule(BaseModel):
    """First the prototypes alone, without gradients; then the added layers, with prototypes as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prototype_epochs: int = Field(1, ge=0)
    tuning_epochs: int = Field(1, ge=0)
    lr_addon: NonNegativeFloat = 1e-4
    lr_head: NonNegativeFloat = 1e-6
    losses: NonParametricLosses = NonParametricLosses()


def stages(schedule: NonParametricSchedule) -> list[Stage]:
    losses = schedule.losses.model_dump()
    rates = {"addon": schedule.lr_addon, "head": schedule.lr_head}
    return [
        Stage(name="prototypes", epochs=schedule.prototype_epochs, lr={}, losses=losses),
        Stage(name="tuning", epochs=schedule.tuning_epochs, lr=rates, losses=losses),
    ]


FAMILY = Family(
    title="Non-parametric part prototypes",
    paper="Zhu et al. 2025, Interpretable Image Classification via Non-parametric Part Prototype Learning",
    config=NonParametricConfig,
    schedule=NonParametricSchedule,
    model=imported_when_built(f"{__name__}.network:NonParametricNet"),
    stages=stages,
    tiny={"prototypes_per_class": 2, "feature_norm": True, "momentum": 0.5},
)
