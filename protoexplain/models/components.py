"""Networks over channel components that all classes share: what CBC, PIP-Net and RBF-net have in common.

Components are channels under a softmax at every location (Saralajew et al. 2025); the schedule has three phases, as
PIP-Net's (Nauta et al. 2023): alignment of two views, head, everything.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from protoexplain.models import losses
from protoexplain.models.base import Branch, BranchOutput, PrototypeModel, PrototypeOutput
from protoexplain.models.component_schedule import ComponentConfig
from protoexplain.models.contract import LOG_NORMALISED, Detection, Ownership, PrototypeSource
from protoexplain.models.heads import Head, SharedHead
from protoexplain.models.similarity import ChannelAxes

WEIGHT_SHRINKAGE = 1e-3


class DetectionBranch(Branch):
    """Channel softmax, spatial maximum, head; keeps the maps, which the alignment loss compares."""

    def __init__(self, components: int, channels: int, count: int, head: Head, threshold: float) -> None:
        super().__init__(
            addon=nn.Conv2d(channels, components, 1) if components else nn.Identity(),
            prototypes=torch.arange(count, dtype=torch.float32).view(-1, 1, 1, 1),
            similarity=ChannelAxes(),
            head=head,
            trained_prototypes=False,
        )
        self.threshold = threshold
        self.activation = self._found

    def _found(self, probability: Tensor) -> Tensor:
        if self.training or self.threshold == 0:
            return probability
        return probability.masked_fill(probability < self.threshold, 0)

    def activation_maps(self, similarity: Tensor, prototypes: Tensor | None = None) -> Tensor:
        """Maps whose maximum counts as found stay whole; the others are zero."""
        return similarity.masked_fill(self._found(similarity.amax((-2, -1), keepdim=True)) == 0, 0)

    def forward(self, features: Tensor) -> BranchOutput:
        maps = self.similarity_maps(features)
        best, cells = maps.flatten(2).max(2)
        activations = self.activation(best)
        return BranchOutput(activations, self.head(activations), best, cells, maps)


class ComponentNet(PrototypeModel):
    """One branch of components that all classes share."""

    prototype_source = PrototypeSource.ILLUSTRATED
    detection = Detection(0.1)
    """As CBC at inference."""

    def __init__(self, config: ComponentConfig, classes: int, backbone: nn.Module, channels: int, head: Head) -> None:
        count = component_count(config, channels)
        branch = DetectionBranch(config.components, channels, count, head, config.inference_threshold)
        super().__init__(backbone, {"main": branch}, Ownership.of_all(count, classes))

    def alignment_terms(self, out: BranchOutput) -> dict[str, Tensor]:
        """align and tanh (PIP-Net), on batches of two views; none from cached activations."""
        if out.maps is None:
            return {}
        return {"align": losses.alignment(out.maps), "tanh": losses.every_prototype_fires(out.activations)}


class NonNegativeNet(ComponentNet):
    """Scores o >= 0 that add up weighted detections, trained as log(1 + o^2); weights shrink until few are left."""

    score_unit = LOG_NORMALISED

    def loss_terms(
        self, output: PrototypeOutput, labels: Tensor, names: frozenset[str], active: str | None = None
    ) -> dict[str, Tensor]:
        """class: negative log likelihood of log_softmax(log(1 + o^2)); align and tanh on two views."""
        terms = {} if names == {"class"} else self.alignment_terms(output.branches["main"])
        if "class" in names:
            terms["class"] = losses.log_normalised_nll(output.logits, labels)
        return {name: value for name, value in terms.items() if name in names}

    def constrain(self, trained: frozenset[str]) -> None:
        """Head weights shrink towards zero after each step and stay non-negative."""
        if "head" in trained:
            self.head_weight().sub_(WEIGHT_SHRINKAGE).clamp_min_(0)

    def head_weight(self) -> Tensor:
        """[C,P] the raw weights of the head, outside the graph."""
        branch = self.branches["main"]
        assert isinstance(branch, Branch)
        assert isinstance(branch.head, SharedHead)
        return branch.head.weight.data


def component_count(config: ComponentConfig, channels: int) -> int:
    return config.components or channels
