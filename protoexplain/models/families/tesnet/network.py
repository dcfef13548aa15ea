"""TesNet: the prototypes of a class are a basis of its own subspace, and a class score is made of projections onto it.

Wang et al. 2021, "Interpretable Image Recognition by Constructing Transparent Embedding Space".  Class scores, maps and
the projection of prototypes use the dot product with the unit prototype, the cluster and separation costs the cosine.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from protoexplain.models import losses
from protoexplain.models.base import Branch, PrototypeModel, PrototypeOutput
from protoexplain.models.contract import Ownership
from protoexplain.models.families.protopnet.network import addon_layers, normalised
from protoexplain.models.families.tesnet import TesNetConfig
from protoexplain.models.heads import LinearHead
from protoexplain.models.similarity import Cosine, DotProduct


class TesNet(PrototypeModel):
    """One branch; prototypes are class-major and have unit length, from the first step on."""

    def __init__(self, config: TesNetConfig, classes: int, backbone: nn.Module, channels: int) -> None:
        ownership = Ownership.class_major(config.prototypes_per_class, classes)
        addon = addon_layers(channels, config.prototype_channels, config.addon)
        branch = Branch(
            addon=normalised(addon, channels, config.feature_norm),
            prototypes=torch.rand(len(ownership.owned), config.prototype_channels, 1, 1),
            similarity=DotProduct(),
            head=LinearHead(ownership, other=config.other_class_weight),
            loss_similarity=Cosine(),
        )
        super().__init__(backbone, {"main": branch}, ownership)
        self.diagonal = config.published_diagonal
        self.constrain(frozenset({"prototypes"}))

    def loss_terms(
        self, output: PrototypeOutput, labels: Tensor, names: frozenset[str], active: str | None = None
    ) -> dict[str, Tensor]:
        """cross_entropy, l1; cluster and separation, minus the mean cosine of the closest own / foreign prototype;
        orthogonality of the prototypes of each class, and subspace_separation, the distances of the classes' spans.
        """
        ((name, branch),) = self.named_branches()
        prototypes, similarity = branch.prototypes.flatten(1), output.branches[name].similarity
        terms = {
            "cross_entropy": lambda: F.cross_entropy(output.logits, labels),
            "l1": lambda: losses.wrong_class_l1(branch.head.class_weights(), self.ownership),
            "orthogonality": lambda: losses.orthogonality(prototypes, self.classes, self.diagonal),
            "subspace_separation": lambda: losses.subspace_distance(prototypes, self.classes),
        }
        if similarity is not None:
            own = self.ownership.of_images(labels)
            terms["cluster"] = lambda: -losses.best_among(similarity, own).mean()
            terms["separation"] = lambda: -losses.best_among(similarity, ~own).mean()
        return {name: term() for name, term in terms.items() if name in names}

    def constrain(self, trained: frozenset[str]) -> None:
        """Prototypes have unit length after every step."""
        if "prototypes" in trained:
            ((_, branch),) = self.named_branches()
            branch.prototypes.data = F.normalize(branch.prototypes.data, dim=1)
