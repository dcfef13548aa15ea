"""Networks over channel components that all classes share: what CBC, PIP-Net and RBF-net have in common.

Components are channels under a softmax at every location (Saralajew et al. 2025); the schedule has three phases, as
PIP-Net's (Nauta et al. 2023): alignment of two views, head, everything.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from protoexplain.models import losses
from protoexplain.models.base import Branch, BranchOutput, FamilyConfig, PrototypeModel, PrototypeOutput
from protoexplain.models.contract import LOG_NORMALISED, Detection, Ownership, PrototypeSource
from protoexplain.models.heads import Head, SharedHead
from protoexplain.models.similarity import ChannelAxes
from protoexplain.models.stage import Decay, Stage

WEIGHT_SHRINKAGE = 1e-3


class ComponentConfig(FamilyConfig):
    """Shape of a network over channel components."""

    components: int = Field(0, ge=0)
    """A trained 1x1 convolution to so many components; 0 takes the backbone's channels as they are."""
    inference_threshold: float = Field(0.0, ge=0, lt=1)
    """Detections below this count as absent at inference (published: 0.1, which training never sees)."""


class ComponentSchedule(BaseModel):
    """The three phases; families set their published numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pretrain_epochs: int = Field(12, ge=0)
    head_epochs: int = Field(48, ge=0)
    joint_epochs: int = Field(84, ge=0)
    lr: float = 3.75e-4
    """Of the network, in pre-training and end to end."""
    lr_head: float = 5e-3
    pretrain_batch_size: int | None = None


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

    def activation_maps(self, similarity: Tensor) -> Tensor:
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


def three_phases(
    schedule: ComponentSchedule,
    *,
    network: Mapping[str, float],
    joint_head: float,
    head_losses: Mapping[str, float],
    joint_losses: Mapping[str, float],
    pretrain_decay: Mapping[str, Decay],
    head_decay: Mapping[str, Decay],
    joint_decay: Mapping[str, Decay],
) -> list[Stage]:
    """Pre-training of the network, the head alone, end to end.

    Args:
        schedule: Epochs.
        network: Learning rates of backbone and add-on.
        joint_head: Learning rate of the head end to end.
        head_losses: Loss weights while the head trains.
        joint_losses: End to end.
        pretrain_decay: Decay of learning rates in each phase, by group.
        head_decay: The same.
        joint_decay: The same.
    """
    pretrain = Stage(
        name="pretrain",
        epochs=schedule.pretrain_epochs,
        lr=dict(network),
        losses={"align": 1.0, "tanh": 5.0},
        ramps=("align",),
        optimizer="adamw",
        batch_size=schedule.pretrain_batch_size,
        decay=dict(pretrain_decay),
    )
    head = Stage(
        name="head",
        epochs=schedule.head_epochs,
        lr={"head": schedule.lr_head},
        losses=dict(head_losses),
        optimizer="adamw",
        decay=dict(head_decay),
    )
    joint = Stage(
        name="joint",
        epochs=schedule.joint_epochs,
        lr={**network, "head": joint_head},
        losses=dict(joint_losses),
        optimizer="adamw",
        decay=dict(joint_decay),
    )
    return [pretrain, head, joint]
