"""ST-ProtoPNet: support prototypes near the class borders, trivial prototypes far from them.

Wang et al. 2023, "Learning Support and Trivial Prototypes for Interpretable Image Classification".  Two variants
with different mathematics: `cropped` (projection onto the prototype, features in (-1, 1)) and `full` (rectified
cosine on maps of doubled size).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from protoexplain.models import losses
from protoexplain.models.base import Branch, BranchOutput, PrototypeModel, PrototypeOutput, identity
from protoexplain.models.contract import Ownership
from protoexplain.models.families.protopnet.network import initialised, normalised
from protoexplain.models.families.st_protopnet import STProtoPNetConfig
from protoexplain.models.heads import LinearHead
from protoexplain.models.similarity import Cosine, DotProduct

TRIVIAL, SUPPORT = "trivial", "support"


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
