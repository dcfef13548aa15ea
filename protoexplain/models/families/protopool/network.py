"""ProtoPool: classes choose their prototypes from a common pool, and what counts is how they stand out of an image.

Rymarczyk et al. 2022, "Interpretable Image Classification with Differentiable Prototypes Assignment".  Latent patches
lie in [0, 1]^D (sigmoid) and are compared by squared distances.  The similarity of the published code is used, that of
the nearest patch less that of the mean distance; the paper takes the mean of the similarities.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from protoexplain.models import losses
from protoexplain.models.base import Branch, BranchOutput, PrototypeOutput
from protoexplain.models.families.protopnet.network import initialised, normalised
from protoexplain.models.families.protopool import ProtoPoolConfig
from protoexplain.models.learned_ownership import LearnedOwnership
from protoexplain.models.similarity import Focal, InverseActivation, LogActivation, NegativeSquaredL2
from protoexplain.models.slots import (
    FULL_SCALE,
    SlotHead,
    annealed_scale,
    chosen_most,
    gumbel_noise,
    log_assignment,
    orthogonality,
)

MIXED = "mixed_cross_entropy"
_MIXING = 0.5
"""Both parameters of the beta distribution of shares."""


@dataclass
class PoolBranchOutput(BranchOutput):
    """With the shares of the slots, [C,P,S] as logarithms, that the scores were computed with."""

    log_share: Tensor | None = None


@dataclass(kw_only=True)
class MixedOutput(PrototypeOutput):
    """Of mixed pictures: a share in [0, 1] is the picture itself, the rest that in the same place of `order`."""

    order: Tensor
    share: Tensor


class PoolBranch(Branch):
    """Compares with the pool; slots share prototypes while they are trained."""

    head: SlotHead
    similarity: Focal

    def forward(self, features: Tensor) -> BranchOutput:
        z = self.addon(features)
        maps = self.similarity.distance.maps(z, self.prototypes).flatten(2)
        best, cells = maps.max(2)
        mean, activation, head = maps.mean(2), self.similarity.activation, self.head
        activations = activation(best) - activation(mean)
        if self.training and head.slot_logits.requires_grad:
            noise = gumbel_noise(head.slot_logits) if head.scale else None
            log_share = log_assignment(head.slot_logits, head.scale, noise)
            logits = head.mixed(log_share, best, mean, activation)
        else:
            log_share = log_assignment(head.slot_logits, FULL_SCALE)
            logits = head(activations)
        return PoolBranchOutput(activations, logits, best, cells, latent=z, log_share=log_share)


class ProtoPool(LearnedOwnership[SlotHead]):
    """One branch.  Prototypes belong to the classes whose slots choose them at present."""

    def __init__(self, config: ProtoPoolConfig, classes: int, backbone: nn.Module, channels: int) -> None:
        depth = config.prototype_channels
        head = SlotHead(config.prototypes, classes, config.slots)
        addon = initialised(nn.Sequential(nn.Conv2d(channels, depth, 1), nn.Sigmoid()))
        activation = LogActivation(config.epsilon) if config.activation == "log" else InverseActivation()
        distance = NegativeSquaredL2()
        branch = PoolBranch(
            addon=normalised(addon, channels, config.feature_norm),
            prototypes=torch.rand(config.prototypes, depth, 1, 1),
            similarity=Focal(distance, activation),
            head=head,
            loss_similarity=distance,
            projected_by=distance,
        )
        super().__init__(backbone, branch)
        self.floor = -float(depth) if config.published_saturation else None

    @property
    def unused(self) -> Tensor:
        return ~self.head.chosen_by().any(1)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {**super().parameter_groups(), "head": [self.head.weight], "slots": [self.head.slot_logits]}

    def anneal(self, done: float) -> None:
        """Slots come nearer to a choice."""
        self.head.scale = annealed_scale(done)

    def from_images(
        self, images: Tensor, names: frozenset[str] = frozenset(), active: str | None = None
    ) -> PrototypeOutput:
        """Mixed pictures (mixup, Zhang et al. 2018) where the loss asks for it."""
        if not (self.training and MIXED in names):
            return super().from_images(images, names, active)
        share = torch.distributions.Beta(_MIXING, _MIXING).sample().to(images)
        order = torch.randperm(len(images)).to(images.device)
        output = super().from_images(share * images + (1 - share) * images[order], names, active)
        return MixedOutput(logits=output.logits, branches=output.branches, order=order, share=share)

    def loss_terms(
        self, output: PrototypeOutput, labels: Tensor, names: frozenset[str], active: str | None = None
    ) -> dict[str, Tensor]:
        """cross_entropy, and mixed with that of the label of the other picture; cluster and separation, mean squared
        distances to the nearest of the prototypes that the class chooses most, and of the others; orthogonality of
        the slots of a class; l1 of the weights of other classes' slots.
        """
        out = output.branches["main"]
        terms = {
            "cross_entropy": lambda: F.cross_entropy(output.logits, labels),
            MIXED: lambda: _mixed_cross_entropy(output, labels),
            "orthogonality": lambda: orthogonality(self.head.slot_logits),
            "l1": self.head.foreign_weights,
        }
        compares = bool(names & {"cluster", "separation"})
        if compares and isinstance(out, PoolBranchOutput) and out.similarity is not None and out.log_share is not None:
            similarity, own = out.similarity, chosen_most(out.log_share, labels)
            terms["cluster"] = lambda: -losses.best_among(similarity, own, self.floor).mean()
            terms["separation"] = lambda: -losses.best_among(similarity, ~own, self.floor).mean()
        return {name: term() for name, term in terms.items() if name in names}


def _mixed_cross_entropy(output: PrototypeOutput, labels: Tensor) -> Tensor:
    """Of pictures that were not mixed the plain one."""
    own = F.cross_entropy(output.logits, labels)
    if not isinstance(output, MixedOutput):
        return own
    return output.share * own + (1 - output.share) * F.cross_entropy(output.logits, labels[output.order])
