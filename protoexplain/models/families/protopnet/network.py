"""ProtoPNet: squared L2 distance and log activation, or cosine similarity; linear head.

Chen et al. 2019, "This Looks Like That: Deep Learning for Interpretable Image Recognition"; the cosine similarity is
that of "Cosine Similarity is Almost All You Need" (WACV 2026).
Latent patches lie in [0, 1]^D (sigmoid), so a distance is at most D * h * w while prototypes stay there too.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from protoexplain.models import losses
from protoexplain.models.base import Branch, PrototypeModel, PrototypeOutput, identity
from protoexplain.models.contract import Ownership
from protoexplain.models.families.protopnet import ProtoPNetConfig
from protoexplain.models.heads import LinearHead
from protoexplain.models.similarity import LogActivation, NegativeSquaredL2, RectifiedCosine


def addon_layers(channels: int, depth: int, kind: str) -> nn.Sequential:
    """Two 1x1 convolutions (`regular`) or a halving chain of pairs (`bottleneck`), which end in a sigmoid; or one
    convolution (`linear`).
    """
    layers: list[nn.Module] = []
    if kind == "linear":
        layers = [nn.Conv2d(channels, depth, 1)]
    elif kind == "regular":
        layers = [nn.Conv2d(channels, depth, 1), nn.ReLU(), nn.Conv2d(depth, depth, 1), nn.Sigmoid()]
    else:
        current = channels
        while current > depth or not layers:
            width = max(depth, current // 2)
            layers += [nn.Conv2d(current, width, 1), nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU()]
            current //= 2
        layers[-1] = nn.Sigmoid()
    return initialised(nn.Sequential(*layers))


class NormalisedLayers(nn.Sequential):
    """A batch norm and layers that begin with a 1 x 1 convolution, which also scales and shifts for the norm.

    Thus no gradient has to flow back to the features for the sake of the norm.
    """

    def forward(self, features: Tensor) -> Tensor:
        norm, first, *rest = self
        assert isinstance(norm, nn.BatchNorm2d)
        assert isinstance(first, nn.Conv2d)
        assert first.bias is not None
        plain = F.batch_norm(
            features, norm.running_mean, norm.running_var, None, None, norm.training, norm.momentum or 0.0, norm.eps
        )
        weight = first.weight * norm.weight[:, None, None]
        result = F.conv2d(plain, weight, first.weight.flatten(1) @ norm.bias + first.bias)
        for layer in rest:
            result = layer(result)
        return result


def normalised(layers: nn.Sequential, channels: int, wanted: bool) -> nn.Sequential:
    """Put a batch norm in front if wanted; the first layer is then a 1 x 1 convolution."""
    return NormalisedLayers(nn.BatchNorm2d(channels), *layers) if wanted else layers


def initialised(layers: nn.Sequential) -> nn.Sequential:
    """Kaiming normal, fan-out, zero bias."""
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return layers


class ProtoPNet(PrototypeModel):
    """One branch; prototypes are class-major, prototype j belongs to class j // prototypes_per_class."""

    def __init__(self, config: ProtoPNetConfig, classes: int, backbone: nn.Module, channels: int) -> None:
        ownership = Ownership.class_major(config.prototypes_per_class, classes)
        cosine = config.similarity == "cosine"
        branch = Branch(
            addon=normalised(
                addon_layers(channels, config.prototype_channels, config.addon), channels, config.feature_norm
            ),
            prototypes=torch.rand(len(ownership.owned), config.prototype_channels, *config.prototype_size),
            similarity=RectifiedCosine() if cosine else NegativeSquaredL2(),
            head=LinearHead(ownership, other=config.other_class_weight),
            activation=identity if cosine or config.activation == "linear" else LogActivation(config.epsilon),
        )
        super().__init__(backbone, {"main": branch}, ownership)
        self.floor = -float(branch.prototypes[0].numel()) if config.published_saturation else None

    def loss_terms(
        self, output: PrototypeOutput, labels: Tensor, names: frozenset[str], active: str | None = None
    ) -> dict[str, Tensor]:
        """cross_entropy, l1; cluster and separation, mean squared distances to the nearest own / foreign prototype."""
        out = output.branches["main"]
        own = self.ownership.of_images(labels)
        terms = {"cross_entropy": lambda: F.cross_entropy(output.logits, labels)}
        if out.similarity is not None:
            similarity = out.similarity
            terms["cluster"] = lambda: -losses.best_among(similarity, own, self.floor).mean()
            terms["separation"] = lambda: -losses.best_among(similarity, ~own, self.floor).mean()
        _, branch = self.named_branches()[0]
        terms["l1"] = lambda: losses.wrong_class_l1(branch.head.class_weights(), self.ownership)
        return {name: term() for name, term in terms.items() if name in names}
