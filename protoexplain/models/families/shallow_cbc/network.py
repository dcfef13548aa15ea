"""Classification-By-Components in input space: components are pictures, and a picture is compared with each as a whole.

Saralajew et al., "Classification-by-Components: Probabilistic Modeling of Reasoning over a Set of Components" (NeurIPS
2019), and "A Robust Prototype-Based Network with Interpretable RBF Classifier Foundations" (AAAI 2025).  There is no
network before the comparison, so that it is known how far a picture may move before the answer can change.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from protoexplain.errors import UserError
from protoexplain.models import losses, robustness
from protoexplain.models.base import Branch, PrototypeModel, PrototypeOutput
from protoexplain.models.contract import PROBABILITIES, Ownership, PrototypeSource
from protoexplain.models.detection import exponential_detection, positive_sigma, root_distance
from protoexplain.models.families.shallow_cbc import ShallowCBCConfig
from protoexplain.models.reasoning import (
    ComponentHead,
    IndefiniteReasoningHead,
    PositiveReasoningHead,
    ReasoningHead,
)
from protoexplain.models.similarity import Cosine, NegativeSquaredL2

HEADS = {"2019": IndefiniteReasoningHead, "2024": ReasoningHead, "positive": PositiveReasoningHead}


class Grey(nn.Module):
    """Pictures [B,3,S,S] -> the mean of their channels [B,1,S,S]."""

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.mean(1, keepdim=True)


class ComponentBranch(Branch):
    """Components as large as the picture, with a head that reasons over their detection probabilities."""

    head: ComponentHead

    def __init__(self, config: ShallowCBCConfig, classes: int) -> None:
        count, side, depth = config.components, config.image_size, config.picture_channels
        super().__init__(
            addon=Grey() if depth == 1 else nn.Identity(),
            prototypes=torch.empty(count, depth, side, side).uniform_(0.45, 0.55),
            similarity=Cosine() if config.detection == "cosine" else NegativeSquaredL2(),
            head=HEADS[config.reasoning](count, classes, config.concepts_per_class),
        )
        self.raw_sigma = nn.Parameter(torch.full((count,), config.sigma)) if config.certified else None
        self.squared = config.detection == "squared"
        self.activation = self.detected
        if isinstance(self.head, ReasoningHead):
            self.head.joint_logits.data = _published_start(count, classes * config.concepts_per_class)

    def sigma(self) -> Tensor:
        """[K] the width of each component's kernel.

        Raises:
            UserError: Detection is no kernel of a distance.
        """
        if self.raw_sigma is None:
            raise UserError("the cosine has no certified radius", "model.detection", "choose 'euclidean' or 'squared'")
        return positive_sigma(self.raw_sigma)

    def distances(self, similarity: Tensor) -> Tensor:
        """What the kernels see of minus squared distances."""
        squared = (-similarity).clamp_min(0)
        return squared if self.squared else root_distance(squared)

    def detected(self, similarity: Tensor, components: Tensor | None = None) -> Tensor:
        """Similarities [...,K] of all or some components -> detection probabilities [...,K]."""
        if self.raw_sigma is None:
            return similarity.relu()
        sigma = self.sigma().to(similarity)
        return exponential_detection(self.distances(similarity), sigma if components is None else sigma[components])

    def activation_maps(self, similarity: Tensor, prototypes: Tensor | None = None) -> Tensor:
        return self.detected(similarity.movedim(-3, -1), prototypes).movedim(-1, -3)

    def select(self, prototypes: Tensor) -> None:
        super().select(prototypes)
        if self.raw_sigma is not None:
            self.raw_sigma = nn.Parameter(self.raw_sigma.detach()[prototypes].clone())


class ShallowCBC(PrototypeModel):
    """One branch of components that all classes share."""

    prototype_source = PrototypeSource.DECODED
    score_unit = PROBABILITIES

    def __init__(self, config: ShallowCBCConfig, classes: int, backbone: nn.Module, channels: int) -> None:
        branch = ComponentBranch(config, classes)
        super().__init__(backbone, {"main": branch}, Ownership.of_all(config.components, classes))
        self.side, self.margin, self.robust_margin = config.image_size, config.margin, config.robust_margin

    @property
    def branch(self) -> ComponentBranch:
        """The only one."""
        branch = self.branches["main"]
        assert isinstance(branch, ComponentBranch)
        return branch

    def from_images(
        self, images: Tensor, names: frozenset[str] = frozenset(), active: str | None = None
    ) -> PrototypeOutput:
        if images.shape[2:] != (self.side, self.side):
            raise UserError(
                f"the pictures have {images.shape[2]} x {images.shape[3]} pixels, the components {self.side}",
                "model.image_size",
                "give model.image_size and data.image_size the same number",
            )
        return super().from_images(images, names, active)

    def decoded_prototypes(self) -> Tensor:
        """[K,3,S,S] in [0, 1]: the components themselves."""
        return self.branch.prototypes.expand(-1, 3, -1, -1)

    def certified_radius(self, output: PrototypeOutput, labels: Tensor) -> Tensor:
        out, head = output.branches["main"], self.branch.head
        positive, negative = head.reasoning()
        concept_class = torch.arange(self.classes, device=labels.device).repeat_interleave(head.concepts)
        log_radius = robustness.signed_log_radius(
            out.activations, positive, negative, concept_class, labels, self.branch.sigma()
        )
        squared = -out.similarity if self.branch.squared and out.similarity is not None else None
        return robustness.radius(log_radius, squared)

    def loss_terms(
        self, output: PrototypeOutput, labels: Tensor, names: frozenset[str], active: str | None = None
    ) -> dict[str, Tensor]:
        """margin: mean of max(0, best other - own + margin); robust: mean of max(0, margin - certified radius)."""
        terms = {
            "margin": lambda: losses.margin_loss(output.logits, labels, self.margin).mean(),
            "robust": lambda: robustness.robust_loss(self.certified_radius(output, labels), self.robust_margin).mean(),
        }
        return {name: term() for name, term in terms.items() if name in names}

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Widths of kernels belong to the components."""
        groups = super().parameter_groups()
        if self.branch.raw_sigma is not None:
            groups["prototypes"].append(self.branch.raw_sigma)
        return groups

    def constrain(self, trained: frozenset[str]) -> None:
        """Components stay pictures, and reasoning stays probabilities."""
        self.branch.prototypes.data.clamp_(0, 1)
        self.branch.head.constrain()


def _published_start(components: int, concepts: int) -> Tensor:
    """[2K,R] logits: all components matter about alike, and each is about as much wanted as unwanted."""
    prior = torch.rand(components, concepts).softmax(0)
    wanted = torch.empty(components, concepts).uniform_(0.4, 0.6)
    return torch.cat([prior * wanted, prior * (1 - wanted)]).log()
