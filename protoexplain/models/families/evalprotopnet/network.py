"""EvalProtoPNet: deep features aligned with shallow ones (SDFA), and scores of own prototypes alone (SA).

Huang et al. 2023, "Evaluation and Improvement of Interpretability for Self-Explainable Part-Prototype Networks".
A deep cell sees nearly the whole image; alignment keeps two of its cells as alike as the pieces of the image under
them are, so that a prototype answers to what lies under its peak.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from protoexplain.models import losses
from protoexplain.models.base import Branch, PrototypeModel, PrototypeOutput
from protoexplain.models.contract import Ownership
from protoexplain.models.families.evalprotopnet import EvalProtoPNetConfig
from protoexplain.models.families.protopnet.network import initialised, normalised
from protoexplain.models.heads import AggregationHead, LinearHead
from protoexplain.models.similarity import Cosine, DotProduct

SHALLOW_STRIDE = 4
"""The deepest map of this stride is the shallow one, as published for ResNets, DenseNets and VGG-19.

The published layer of VGG-16 is the 18th of its list (conv4_1, of stride 8), here it is conv3_3.
"""


@dataclass(kw_only=True)
class AlignedOutput(PrototypeOutput):
    """With what alignment compares.

    Args:
        deep: [B,D,H,W], the features.
        shallow: [B,E,q*H,r*W].
    """

    deep: Tensor
    shallow: Tensor


class EvalProtoPNet(PrototypeModel):
    """One branch, class-major: projection onto unit prototypes for the scores, cosine for the costs."""

    def __init__(self, config: EvalProtoPNetConfig, classes: int, backbone: nn.Module, channels: int) -> None:
        ownership = Ownership.class_major(config.prototypes_per_class, classes)
        addon = initialised(nn.Sequential(nn.Conv2d(channels, config.prototype_channels, 1), nn.Sigmoid()))
        head = AggregationHead if config.head == "aggregation" else LinearHead
        branch = Branch(
            addon=normalised(addon, channels, config.feature_norm),
            prototypes=torch.rand(len(ownership.owned), config.prototype_channels, 1, 1),
            similarity=DotProduct(),
            head=head(ownership),
            loss_similarity=Cosine(),
        )
        super().__init__(backbone, {"main": branch}, ownership)
        self.tolerance, self.diagonal = config.tolerance, config.published_diagonal
        self.constrain(frozenset({"prototypes"}))

    def from_images(
        self, images: Tensor, names: frozenset[str] = frozenset(), active: str | None = None
    ) -> PrototypeOutput:
        """With the shallow map where alignment asks for it."""
        if "alignment" not in names:
            return super().from_images(images, names, active)
        deep, shallow = self.backbone.with_shallow(images, SHALLOW_STRIDE)  # type: ignore[operator]
        output = self.from_features(deep, active)
        return AlignedOutput(logits=output.logits, branches=output.branches, images=images, deep=deep, shallow=shallow)

    def loss_terms(
        self, output: PrototypeOutput, labels: Tensor, names: frozenset[str], active: str | None = None
    ) -> dict[str, Tensor]:
        """cross_entropy; cluster and separation, minus the mean largest cosine to own / foreign prototypes;
        orthogonality of the raw prototypes; alignment at the peaks of the own prototypes.
        """
        out, (_, branch) = output.branches["main"], self.named_branches()[0]
        own = self.ownership.of_images(labels)
        prototypes = branch.prototypes.flatten(1)
        terms = {
            "cross_entropy": lambda: F.cross_entropy(output.logits, labels),
            "orthogonality": lambda: losses.orthogonality(prototypes, self.classes, self.diagonal),
        }
        if out.similarity is not None:
            similarity = out.similarity
            terms["cluster"] = lambda: -losses.best_among(similarity, own).mean()
            terms["separation"] = lambda: -losses.best_among(similarity, ~own).mean()
        if isinstance(output, AlignedOutput) and out.cells is not None:
            peaks = out.cells[own].view(len(labels), -1)
            terms["alignment"] = lambda: losses.shallow_deep_alignment(
                output.deep, output.shallow, peaks, self.tolerance
            )
        return {name: term() for name, term in terms.items() if name in names}

    def constrain(self, trained: frozenset[str]) -> None:
        """Prototypes have unit length after every step."""
        if "prototypes" in trained:
            _, branch = self.named_branches()[0]
            branch.prototypes.data = F.normalize(branch.prototypes.data, dim=1)
