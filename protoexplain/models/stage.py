"""A training schedule as data: a run is a list of stages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt

GROUPS = ("lower", "backbone", "addon", "prototypes", "slots", "head", "decoder")
"""Of parameters, each with its learning rate."""
BACKBONE = frozenset({"lower", "backbone"})
"""Of them those of the backbone."""
_OF_THE_HEAD = ("cross_entropy", "mixed_cross_entropy", "l1")
"""Loss terms that depend on activations and head alone."""


COMPARING_CLASSES = ("orthogonality", "closeness", "discrimination", "subspace_separation")
"""Loss terms that need as many prototypes of each class as of any other."""


class Decay(BaseModel):
    """How the learning rate falls with the number n = 1, 2, ... of the epoch, counted over all stages of one name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["constant", "step", "at", "cosine"] = "constant"
    every: int = Field(5, ge=1)
    """step: multiply by gamma once in so many epochs (first at n = every)."""
    epochs: tuple[int, ...] = ()
    """at: multiply by gamma before these epochs."""
    gamma: float = Field(0.1, gt=0, le=1)
    total: int = Field(1, ge=1)
    """cosine: falls from 1 to gamma over so many epochs, then starts again."""
    begun: int = Field(0, ge=0)
    """cosine: epochs that went by before the first one."""
    by_step: bool = False
    """cosine: falls from step to step, not only from epoch to epoch."""

    def multiplier(self, n: float) -> float:
        """Factor on the learning rate in the n-th epoch, n >= 1; its fraction is the part of the epoch that is done."""
        epoch = math.floor(n)
        if self.kind == "step":
            return float(self.gamma ** (epoch // self.every))
        if self.kind == "at":
            return float(self.gamma ** sum(epoch >= first for first in self.epochs))
        if self.kind == "cosine":
            done = ((n if self.by_step else epoch) - 1 + self.begun) % self.total / self.total
            return self.gamma + (1 - self.gamma) * (1 + math.cos(math.pi * done)) / 2
        return 1.0

    def times(self, factor: float) -> Decay:
        """The same course over a factor times as many epochs."""
        counted = {"every": max(1, round(self.every * factor)), "total": max(1, round(self.total * factor))}
        marks = {"epochs": tuple(max(1, round(n * factor)) for n in self.epochs), "begun": round(self.begun * factor)}
        return self.model_copy(update={**counted, **marks})


class Annealing(BaseModel):
    """What becomes harder from epoch to epoch, over several stages (the slots of ProtoPool)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    begun: int = Field(0, ge=0)
    """Epochs that went by before the stage."""
    over: int = Field(ge=1)
    """Epochs until it is done."""

    def done(self, epoch: int) -> float:
        """Share in (0, 1] in an epoch of the stage, from 1."""
        return min(1.0, (self.begun + epoch) / self.over)

    def times(self, factor: float) -> Annealing:
        """The same course over a factor times as many epochs."""
        return Annealing(begun=round(self.begun * factor), over=max(1, round(self.over * factor)))


class Stage(BaseModel):
    """Some epochs with the same trained groups and losses.

    Stages of the same name share the optimizer's moments of each group, and count their epochs together.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    epochs: int = Field(ge=0)
    lr: dict[str, float]
    """Trained parameter group (such as backbone) -> learning rate; the others are frozen.  Without any the model only
    observes its pictures (`PrototypeModel.observe`)."""
    losses: dict[str, float]
    """Loss term -> weight."""
    weight_decay: dict[str, float] = {}
    """Group -> weight decay, 0 where not named."""
    decay: dict[str, Decay] = {}
    """Group -> decay of its learning rate, constant where not named."""
    ramps: tuple[str, ...] = ()
    """Loss terms whose weight grows as epoch / epochs of the stage, epoch = 1, 2 and so on."""
    optimizer: Literal["adam", "adamw"] = "adam"
    epsilon: float = Field(1e-8, gt=0)
    """Of the optimizer."""
    batch_size: int | None = Field(None, ge=1)
    """None takes the run's batch size."""
    min_steps: int = Field(0, ge=0)
    """Where the images are too few for so many steps in all, an epoch shows each of them several times, and learning
    rates are divided by how often."""
    min_images: int = Field(0, ge=0)
    """With fewer training images the backbone stays as it is."""
    returns: bool = False
    """At the end go back to the epoch that was best on the validation images, if the last one is worse by more than two
    standard errors: of many epochs one is better by one by luck."""
    alternate: bool = False
    """Train one branch per step in turn (ST-ProtoPNet)."""
    annealing: Annealing | None = None
    """What the model is told before each epoch."""
    merge: float | None = Field(None, gt=0, le=1)
    """After the last epoch merge prototypes whose activations are correlated so highly."""
    project: bool = False
    """Then write the nearest training patches into the prototypes."""

    @property
    def anneals(self) -> bool:
        """Whether it trains the head alone with a learning rate that comes to nothing at its end: only then are weights
        small that the losses want small."""
        decay = self.decay.get("head")
        return set(self.lr) == {"head"} and decay is not None and (decay.kind, decay.total) == ("cosine", self.epochs)

    def over(self, epochs: int) -> Stage:
        """The same over so many epochs; a learning rate that comes to nothing at its end does so at the new one."""
        stretched = {"head": self.decay["head"].model_copy(update={"total": max(1, epochs)})} if self.anneals else {}
        return self.model_copy(update={"epochs": epochs, "decay": {**self.decay, **stretched}})

    def for_images(self, count: int) -> Stage:
        """The same with so many training images: with too few the backbone is not trained."""
        if count >= self.min_images:
            return self
        return self.model_copy(update={"lr": {group: lr for group, lr in self.lr.items() if group not in BACKBONE}})

    def scaled(self, epochs: int, factor: float) -> Stage:
        """The same over so many epochs, where all that is counted in epochs or steps becomes a factor times as much."""
        decay = {group: each.times(factor) for group, each in self.decay.items()}
        counted = {
            "min_steps": math.ceil(self.min_steps * factor),
            "annealing": self.annealing and self.annealing.times(factor),
        }
        return self.model_copy(update={"epochs": epochs, "decay": decay, **counted})


class ProjectedSchedule(BaseModel):
    """Warm-up with a frozen backbone, joint training, projections each followed by last-layer epochs.

    Chen et al. 2019; families set their own values and add `losses`, the weights of their loss terms.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    warm_epochs: int = Field(5, ge=0)
    projections: tuple[NonNegativeInt, ...] = ()
    """Epochs in any order, counted from 0 over warm and joint, at whose end prototypes are projected."""
    last_layer_epochs: int = Field(0, ge=0)
    """Of the head alone, after each projection."""
    lr_backbone: NonNegativeFloat = 1e-4
    lr_addon: NonNegativeFloat = 3e-3
    lr_prototypes: NonNegativeFloat = 3e-3
    lr_head: NonNegativeFloat = 1e-4
    weight_decay: NonNegativeFloat = 1e-3
    """Of backbone and add-on."""
    decay: Decay = Decay()
    """Of the joint stage."""
    last_layer_decay: Decay = Decay()
    """Of the last-layer epochs after each projection."""

    def stages(
        self,
        losses: Mapping[str, float],
        joint_only: Mapping[str, float] | None = None,
        lr_last_layer: float | None = None,
        alternate: bool = False,
        end: int | None = None,
    ) -> list[Stage]:
        """The list of stages.

        Args:
            losses: Loss term -> weight; the last layer takes those that depend on it.
            joint_only: Terms that need a trained backbone.
            lr_last_layer: Of the head in its own epochs, if it also trains before them, at `lr_head`.
            alternate: As `Stage.alternate`.
            end: Epochs of warm and joint together; None ends with the last projection.
        """
        features = {"addon": self.lr_addon, "prototypes": self.lr_prototypes}
        if lr_last_layer is not None:
            features["head"] = self.lr_head
        joint = {"backbone": self.lr_backbone, **features}
        return _cut_at_projections(
            Stage(
                name="warm",
                epochs=self.warm_epochs,
                lr=features,
                losses=dict(losses),
                weight_decay={"addon": self.weight_decay},
                alternate=alternate,
            ),
            Stage(
                name="joint",
                epochs=0,
                lr=joint,
                losses={**losses, **(joint_only or {})},
                weight_decay=dict.fromkeys(("backbone", "addon"), self.weight_decay),
                decay=dict.fromkeys(joint, self.decay),
                alternate=alternate,
            ),
            Stage(
                name="last layer",
                epochs=self.last_layer_epochs,
                lr={"head": self.lr_head if lr_last_layer is None else lr_last_layer},
                losses={name: weight for name, weight in losses.items() if name in _OF_THE_HEAD},
                decay={"head": self.last_layer_decay},
                alternate=alternate,
            ),
            self.projections,
            end,
        )


def _cut_at_projections(
    warm: Stage, joint: Stage, last_layer: Stage, projections: Sequence[int], end: int | None
) -> list[Stage]:
    """Warm and joint epochs, cut at each projection and followed there by last-layer epochs.

    Args:
        warm: With its epochs; the first row, even if it has none.
        joint: Its epochs are set here.
        last_layer: Follows each projection.
        projections: Epochs, counted from 0 over warm and joint, at whose end prototypes are projected.
        end: Epochs of warm and joint together; None ends with the last projection.
    """
    cuts = [epoch + 1 for epoch in sorted(set(projections))]
    total = end if end is not None else cuts[-1] if cuts else warm.epochs
    rows: list[Stage] = []
    done = 0
    for stop in cuts if cuts and cuts[-1] >= total else [*cuts, total]:
        warmed, joined = (min(warm.epochs, stop) - min(warm.epochs, done), stop - max(warm.epochs, done))
        if warmed or not rows:
            rows.append(warm.model_copy(update={"epochs": warmed}))
        if joined > 0:
            rows.append(joint.model_copy(update={"epochs": joined}))
        if stop in cuts:
            rows[-1] = rows[-1].model_copy(update={"project": True})
            rows.append(last_layer)
        done = stop
    return rows
