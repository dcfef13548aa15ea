"""ProtoTree: a soft decision tree that asks at each node whether a prototype is in the image.

Nauta, van Bree, Seifert 2021, "Neural Prototype Trees for Interpretable Fine-grained Image Recognition".  Latent
patches lie in [0, 1]^D (sigmoid); the probability that a prototype is found is exp(-d) of the Euclidean distance d of
the nearest patch.  Class scores are probabilities.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from protoexplain.models.base import Branch, PrototypeOutput
from protoexplain.models.contract import PROBABILITIES, Route
from protoexplain.models.families.protopnet.network import normalised
from protoexplain.models.families.prototree import ProtoTreeConfig
from protoexplain.models.learned_ownership import LearnedOwnership
from protoexplain.models.similarity import ExponentialActivation, NegativeSquaredL2
from protoexplain.models.trees import TreeHead


class ProtoTree(LearnedOwnership[TreeHead]):
    """One branch.  Prototypes belong to the classes that the leaves below their nodes are for at present."""

    score_unit = PROBABILITIES

    def __init__(self, config: ProtoTreeConfig, classes: int, backbone: nn.Module, channels: int) -> None:
        depth = config.prototype_channels
        head = TreeHead(config.depth, classes)
        conv = nn.Conv2d(channels, depth, 1, bias=config.feature_norm)
        nn.init.xavier_normal_(conv.weight)
        branch = Branch(
            addon=normalised(nn.Sequential(conv, nn.Sigmoid()), channels, config.feature_norm),
            prototypes=torch.randn(head.prototypes, depth, 1, 1) * 0.1 + 0.5,
            similarity=NegativeSquaredL2(),
            head=head,
            activation=ExponentialActivation(),
        )
        super().__init__(backbone, branch)
        self.weakest = config.pruning / classes

    @property
    def unused(self) -> Tensor:
        return self.head.unused

    def route(self, activations: Tensor) -> Route | None:
        return self.head.route(activations)

    def prune_before_projection(self) -> None:
        """Cut off the subtrees that know little of any class."""
        self.head.prune(self.weakest)

    def begin_epoch(self, steps: int, done: int) -> None:
        self.head.begin_epoch(steps, done)

    def observe(self, output: PrototypeOutput, labels: Tensor) -> None:
        """Leaves learn from what they are before the step."""
        self.head.observe(output.activations, labels)

    def constrain(self, trained: frozenset[str]) -> None:
        self.head.update()

    def loss_terms(
        self, output: PrototypeOutput, labels: Tensor, names: frozenset[str], active: str | None = None
    ) -> dict[str, Tensor]:
        """cross_entropy: mean of -log p, of the probability of the right class."""
        terms = {"cross_entropy": lambda: -self.head.log_likelihood(output.activations, labels).mean()}
        return {name: term() for name, term in terms.items() if name in names}
