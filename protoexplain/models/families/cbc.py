"""Classification-By-Components, deep form of 2024: positive and negative reasoning over detected components.

Saralajew et al., "A Robust Prototype-Based Network with Interpretable RBF Classifier Foundations" (AAAI 2025).
Components are channels under a softmax at every location; each class says which it wants to find (positive
reasoning) and which it wants to miss (negative reasoning).  Class scores are probabilities, one for each class.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from protoexplain.models import losses
from protoexplain.models.base import (
    Branch,
    BranchOutput,
    Family,
    FamilyConfig,
    PrototypeModel,
    PrototypeOutput,
)
from protoexplain.models.heads import Head, ReasoningHead
from protoexplain.models.similarity import ChannelAxes
from protoexplain.models.stage import Decay, Stage


class ComponentConfig(FamilyConfig):
    """Shape of a network over channel components."""

    components: int = Field(0, ge=0)
    """A trained 1x1 convolution to so many components; 0 takes the backbone's channels as they are."""
    inference_threshold: float = Field(0.0, ge=0, lt=1)
    """Detections below this count as absent at inference (published: 0.1, which training never sees)."""


class CBCConfig(ComponentConfig):
    """Shape of a deep CBC."""

    margin: float = Field(0.025, gt=0)


class CBCSchedule(BaseModel):
    """Alignment pre-training, head, end to end; constant learning rates (published for CUB with ConvNeXt)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pretrain_epochs: int = Field(12, ge=0)
    head_epochs: int = Field(48, ge=0)
    joint_epochs: int = Field(84, ge=0)
    lr: float = 3.75e-4
    """Pre-training and end-to-end, all groups."""
    lr_head: float = 5e-3
    """In the head phase."""
    decay: Decay = Decay()
    """Of the end-to-end phase, counted in its epochs; published: constant."""
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

    def forward(self, features: Tensor) -> BranchOutput:
        maps = self.similarity_maps(features)
        best = maps.flatten(2).amax(2)
        activations = self.activation(best)
        return BranchOutput(activations, self.head(activations), best, maps)


class ComponentNet(PrototypeModel):
    """One branch of components that all classes share."""

    writes_prototypes = False

    def __init__(self, config: ComponentConfig, classes: int, backbone: nn.Module, channels: int, head: Head) -> None:
        count = component_count(config, channels)
        branch = DetectionBranch(config.components, channels, count, head, config.inference_threshold)
        super().__init__(backbone, {"main": branch}, torch.full((count,), -1), classes)

    def alignment_terms(self, out: BranchOutput) -> dict[str, Tensor]:
        """align and tanh (PIP-Net), on batches of two views; none from cached activations."""
        if out.maps is None:
            return {}
        return {"align": losses.alignment(out.maps), "tanh": losses.every_prototype_fires(out.activations)}


def component_count(config: ComponentConfig, channels: int) -> int:
    return config.components or channels


class CBC(ComponentNet):
    """Reasoning over components; evidence by presence and by absence."""

    scores_are_probabilities = True

    def __init__(self, config: CBCConfig, classes: int, backbone: nn.Module, channels: int) -> None:
        super().__init__(config, classes, backbone, channels, ReasoningHead(component_count(config, channels), classes))
        self.margin = config.margin

    def loss_terms(
        self, output: PrototypeOutput, labels: Tensor, names: frozenset[str], active: str | None = None
    ) -> dict[str, Tensor]:
        """margin: mean of max(0, best other - own + margin); align and tanh on two views."""
        terms = {} if names == {"margin"} else self.alignment_terms(output.branches["main"])
        if "margin" in names:
            terms["margin"] = losses.margin_loss(output.logits, labels, self.margin).mean()
        return {name: value for name, value in terms.items() if name in names}


def stages(schedule: CBCSchedule) -> list[Stage]:
    network = {"backbone": schedule.lr, "addon": schedule.lr}
    return [
        Stage(
            name="pretrain",
            epochs=schedule.pretrain_epochs,
            lr=network,
            losses={"align": 1.0, "tanh": 5.0},
            ramps=("align",),
            optimizer="adamw",
            batch_size=schedule.pretrain_batch_size,
        ),
        Stage(
            name="head",
            epochs=schedule.head_epochs,
            lr={"head": schedule.lr_head},
            losses={"margin": 1.0},
            optimizer="adamw",
        ),
        Stage(
            name="joint",
            epochs=schedule.joint_epochs,
            lr={**network, "head": schedule.lr},
            losses={"margin": 1.0},
            optimizer="adamw",
            decay=dict.fromkeys((*network, "head"), schedule.decay),
        ),
    ]


FAMILY = Family(
    title="Classification-By-Components",
    paper="Saralajew et al. 2025, A Robust Prototype-Based Network with Interpretable RBF Classifier Foundations",
    config=CBCConfig,
    schedule=CBCSchedule,
    model=CBC,
    stages=stages,
    tiny={"components": 12},
)
