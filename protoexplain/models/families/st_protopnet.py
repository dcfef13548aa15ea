"""ST-ProtoPNet: support prototypes near the class borders, trivial prototypes far from them.

Wang et al. 2023, "Learning Support and Trivial Prototypes for Interpretable Image Classification".  Two variants
with different mathematics: `cropped` (projection onto the prototype, features in (-1, 1)) and `full` (rectified
cosine on maps of doubled size).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt
from torch import Tensor, nn

from protoexplain.models import losses
from protoexplain.models.base import (
    Branch,
    BranchOutput,
    Family,
    FamilyConfig,
    PrototypeModel,
    PrototypeOutput,
    identity,
)
from protoexplain.models.contract import Ownership
from protoexplain.models.families.protopnet import initialised, normalised
from protoexplain.models.heads import LinearHead
from protoexplain.models.similarity import Cosine, DotProduct
from protoexplain.models.stage import Decay, ProjectedSchedule, Stage

TRIVIAL, SUPPORT = "trivial", "support"


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
    weight_decay: float = 5e-4
    decay: Decay = Decay(kind="at", epochs=(3, 5, 7, 9), gamma=0.2)
    """Counted in joint epochs from 1: before epochs 7, 9, 11 and 13 of the run."""
    losses: STProtoPNetLosses = STProtoPNetLosses()


def _addon(config: STProtoPNetConfig, channels: int) -> nn.Sequential:
    depth = config.prototype_channels
    one, two = nn.Conv2d(channels, depth, 1), nn.Conv2d(depth, depth, 1)
    if config.variant == "cropped":
        layers = initialised(nn.Sequential(one, nn.Tanh(), two, nn.Tanh()))
        return normalised(layers, channels, config.feature_norm)
    layers = normalised(initialised(nn.Sequential(one, two)), channels, config.feature_norm)
    doubled = [nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)] if config.upsample else []
    return nn.Sequential(*doubled, *layers)


class STProtoPNet(PrototypeModel):
    """Two branches, trivial then support; each class-major."""

    def __init__(self, config: STProtoPNetConfig, classes: int, backbone: nn.Module, channels: int) -> None:
        ownership = Ownership.class_major(config.prototypes_per_class, classes)
        cropped = config.variant == "cropped"
        branches = {
            name: Branch(
                addon=_addon(config, channels),
                prototypes=torch.rand(len(ownership.owned), config.prototype_channels, 1, 1),
                similarity=DotProduct() if cropped else Cosine(),
                head=LinearHead(ownership, other=config.other_class_weight),
                activation=identity if cropped else F.relu,
                loss_similarity=Cosine() if cropped else None,
            )
            for name in (TRIVIAL, SUPPORT)
        }
        super().__init__(backbone, branches, ownership.repeat(2))
        self.floor = 0.0 if config.published_masking else None
        self.rectified = not cropped
        self.diagonal = config.published_diagonal
        self.constrain(frozenset({"prototypes"}))

    def loss_terms(
        self, output: PrototypeOutput, labels: Tensor, names: frozenset[str], active: str | None = None
    ) -> dict[str, Tensor]:
        """Terms of the computed branches, summed where both were computed.

        cluster and separation are mean similarities (cosine, or rectified cosine in the full variant) to the
        closest own / foreign prototype; orthogonality, closeness and discrimination act on the prototypes alone.
        """
        total: dict[str, Tensor] = {}
        owners = self.ownership.split(self.branch_sizes())
        for (name, branch), ownership in zip(self.named_branches(), owners, strict=True):
            if name not in output.branches:
                continue
            terms = self._branch_terms(name, branch, output.branches[name], labels, ownership)
            for term, cost in terms.items():
                if term in names:
                    total[term] = total[term] + cost() if term in total else cost()
        return total

    def _branch_terms(
        self, name: str, branch: Branch, out: BranchOutput, labels: Tensor, ownership: Ownership
    ) -> dict[str, Callable[[], Tensor]]:
        prototypes = branch.prototypes.flatten(1)
        terms: dict[str, Callable[[], Tensor]] = {
            "cross_entropy": lambda: F.cross_entropy(out.logits, labels),
            "l1": lambda: losses.wrong_class_l1(branch.head.class_weights(), ownership),
            "orthogonality": lambda: losses.orthogonality(prototypes, self.classes, self.diagonal),
        }
        if name == SUPPORT:
            terms["closeness"] = lambda: losses.closeness(prototypes, self.classes)
        else:
            terms["discrimination"] = lambda: losses.discrimination(prototypes, self.classes)
        if out.similarity is not None:
            similarity = F.relu(out.similarity) if self.rectified else out.similarity
            own = ownership.of_images(labels)
            terms["cluster"] = lambda: losses.best_among(similarity, own, self.floor).mean()
            terms[f"separation_{name}"] = lambda: losses.best_among(similarity, ~own, self.floor).mean()
        return terms

    def constrain(self, trained: frozenset[str]) -> None:
        """Prototypes have unit length after every step."""
        if "prototypes" in trained:
            for _, branch in self.named_branches():
                branch.prototypes.data = F.normalize(branch.prototypes.data, dim=1)


def stages(schedule: STProtoPNetSchedule) -> list[Stage]:
    """One branch per step in turn."""
    end = None if schedule.end_projected and schedule.projections else schedule.epochs
    return schedule.stages(schedule.losses.model_dump(), alternate=True, end=end)


FAMILY = Family(
    title="ST-ProtoPNet",
    paper="Wang et al. 2023, Learning Support and Trivial Prototypes for Interpretable Image Classification",
    config=STProtoPNetConfig,
    schedule=STProtoPNetSchedule,
    model=STProtoPNet,
    stages=stages,
    tiny={"prototypes_per_class": 2, "prototype_channels": 8},
)
