"""Classification-By-Components in input space: components are pictures, and a picture is compared with each as a whole.

Saralajew et al., "Classification-by-Components: Probabilistic Modeling of Reasoning over a Set of Components" (NeurIPS
2019), and "A Robust Prototype-Based Network with Interpretable RBF Classifier Foundations" (AAAI 2025).  Without an
encoder before the comparison it is known how far a picture may move before the answer can change.
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
from protoexplain.models.families.shallow_cbc.comparison import NegativeSquaredTangent, Siamese, orthonormal
from protoexplain.models.reasoning import (
    ComponentHead,
    IndefiniteReasoningHead,
    PositiveReasoningHead,
    ReasoningHead,
)
from protoexplain.models.similarity import Cosine, NegativeSquaredL2, Similarity

HEADS = {"2019": IndefiniteReasoningHead, "2024": ReasoningHead, "positive": PositiveReasoningHead}


class Grey(nn.Module):
    """Pictures [B,3,S,S] -> the mean of their channels [B,1,S,S]."""

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.mean(1, keepdim=True)


class ComponentBranch(Branch):
    """Components as large as the picture, with a head that reasons over their detection probabilities.

    With subspaces, their directions follow in the same tensor (`NegativeSquaredTangent`).
    """

    head: ComponentHead

    def __init__(self, config: ShallowCBCConfig, classes: int) -> None:
        count, side, depth = config.components, config.image_size, config.picture_channels
        pictures = torch.empty(count, depth, side, side).uniform_(0.45, 0.55)
        directions = torch.randn(count, config.subspace_dimension * depth, side, side)
        super().__init__(
            addon=Grey() if depth == 1 else nn.Identity(),
            prototypes=torch.cat([pictures, directions], 1),
            similarity=_similarity(config),
            head=HEADS[config.reasoning](count, classes, config.concepts_per_class),
        )
        self.depth = depth
        self.raw_sigma = nn.Parameter(torch.full((count,), config.sigma)) if config.kernels else None
        self.squared = config.detection == "squared"
        self.activation = self.detected
        self.constrain()
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

    @property
    def pictures(self) -> Tensor:
        """[K,D,S,S] of the components."""
        return self.prototypes[:, : self.depth]

    @property
    def directions(self) -> Tensor:
        """[K,T,D,S,S] of their subspaces, if they have any."""
        return self.prototypes[:, self.depth :].unflatten(1, (-1, self.depth))

    @torch.no_grad()
    def constrain(self) -> None:
        """Components stay pictures, directions orthonormal, filters of length one, and reasoning probabilities."""
        self.pictures.clamp_(0, 1)
        if isinstance(self.similarity, NegativeSquaredTangent):
            self.directions.copy_(orthonormal(self.directions))
        if isinstance(self.similarity, Siamese):
            self.similarity.constrain()
        self.head.constrain()

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
        return self.branch.pictures.expand(-1, 3, -1, -1)

    def certified_radius(self, output: PrototypeOutput, labels: Tensor) -> Tensor:
        """As published.  Tangent distances change by no more than a picture moves, either; theirs is half of what the
        same proof gives.

        Raises:
            UserError: There is an encoder, which may move features farther than a picture moves, or no kernel.
        """
        out, head = output.branches["main"], self.branch.head
        if isinstance(self.branch.similarity, Siamese):
            what = "the encoder has no certified radius: how far it moves features is not bounded"
            raise UserError(what, "model.encoder", "choose false, or schedule.losses.robust 0")
        positive, negative = head.reasoning()
        concept_class = torch.arange(self.classes, device=labels.device).repeat_interleave(head.concepts)
        log_radius = robustness.signed_log_radius(
            out.activations, positive, negative, concept_class, labels, self.branch.sigma()
        )
        squared = -out.similarity if self.branch.squared and out.similarity is not None else None
        return robustness.radius(log_radius, squared, isinstance(self.branch.similarity, NegativeSquaredTangent))

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
        """Widths of kernels belong to the components; the encoder is the group `addon`."""
        groups = super().parameter_groups()
        if self.branch.raw_sigma is not None:
            groups["prototypes"].append(self.branch.raw_sigma)
        if isinstance(self.branch.similarity, Siamese):
            groups["addon"] = list(self.branch.similarity.parameters())
        return groups

    def constrain(self, trained: frozenset[str]) -> None:
        self.branch.constrain()


def _similarity(config: ShallowCBCConfig) -> Similarity:
    if config.subspace_dimension:
        return NegativeSquaredTangent(config.picture_channels)
    plain = NegativeSquaredL2() if config.kernels else Cosine()
    return Siamese(config.picture_channels, plain) if config.encoder else plain


def _published_start(components: int, concepts: int) -> Tensor:
    """[2K,R] logits: all components matter about alike, and each is about as much wanted as unwanted."""
    prior = torch.rand(components, concepts).softmax(0)
    wanted = torch.empty(components, concepts).uniform_(0.4, 0.6)
    return torch.cat([prior * wanted, prior * (1 - wanted)]).log()
