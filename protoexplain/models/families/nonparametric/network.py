"""Non-parametric part prototypes: centres of the patches of their class, found by clustering and not by gradients.

Zhu et al. 2025, "Interpretable Image Classification via Non-parametric Part Prototype Learning".  The patches of each
class, and those of the background, are shared out evenly among its prototypes by optimal transport, and prototypes
follow them.  Then layers on top learn to tell the patches of different prototypes apart.  Published are these layers as
one more block of a vision transformer; here they are convolutions, for backbones of all kinds.
B images, D channels, H x W cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from protoexplain.models.base import Branch, PrototypeModel, PrototypeOutput
from protoexplain.models.contract import Ownership, PrototypeSource
from protoexplain.models.families.nonparametric import NonParametricConfig
from protoexplain.models.heads import AggregationHead
from protoexplain.models.object_gate import LinearGate, embedding_of, gates_of
from protoexplain.models.precision import in_float32
from protoexplain.models.principal import foreground_rule, published_foreground
from protoexplain.models.processes import over_processes
from protoexplain.models.similarity import Cosine
from protoexplain.models.transport import assigned_prototypes, moved_by_sums, moved_prototypes

_START = 0.02
"""Standard deviation of the numbers that prototypes start from."""


class PatchEmbedding(nn.Module):
    """Features as unit vectors, and layers on top that change nothing before they are trained.

    Args:
        channels: Number D.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))
        self.added = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.ReLU6(),
            nn.Conv2d(channels, channels, 1),
        )
        last = self.added[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def plain(self, features: Tensor) -> Tensor:
        """Without the layers on top: each patch [B,D,H,W] of length one."""
        return F.normalize((features - self.mean[:, None, None]) / self.deviation[:, None, None], dim=1)

    def forward(self, features: Tensor) -> Tensor:
        plain = self.plain(features)
        return plain + self.added(plain)


@dataclass(kw_only=True)
class PatchOutput(PrototypeOutput):
    """With the features [B,D,H,W] that it was computed from."""

    features: Tensor


class NonParametricNet(PrototypeModel):
    """One branch, class-major; the prototypes of the background are not among those of the branch."""

    prototype_source = PrototypeSource.ILLUSTRATED
    background: Tensor
    """[K,D] prototypes of what is no object."""

    def __init__(self, config: NonParametricConfig, classes: int, backbone: nn.Module, channels: int) -> None:
        ownership = Ownership.class_major(config.prototypes_per_class, classes)
        branch = Branch(
            addon=PatchEmbedding(channels),
            prototypes=_random(len(ownership.owned), channels)[:, :, None, None],
            similarity=Cosine(),
            head=AggregationHead(ownership, config.temperature),
            trained_prototypes=False,
        )
        super().__init__(backbone, {"main": branch}, ownership)
        self.register_buffer("background", _random(config.prototypes_per_class, channels))
        self.foreground = LinearGate(channels)
        self.config = config

    @property
    def branch(self) -> Branch:
        """The only one."""
        ((_, branch),) = self.named_branches()
        return branch

    @property
    def embedding(self) -> PatchEmbedding:
        """The add-on, without its gate."""
        found = embedding_of(self.branch.addon)
        assert isinstance(found, PatchEmbedding)
        return found

    def from_features(self, features: Tensor, active: str | None = None) -> PrototypeOutput:
        output = super().from_features(features, active)
        return PatchOutput(logits=output.logits, branches=output.branches, images=output.images, features=features)

    # ------------------------------------------------------------------ patches

    def all_prototypes(self) -> Tensor:
        """[P+K,D], those of the background last."""
        return torch.cat([self.branch.prototypes.flatten(1), self.background])

    def owners(self) -> Tensor:
        """bool [P+K,C+1]: the classes of all prototypes, with the background as the last class."""
        behind = torch.arange(self.classes + 1, device=self.owned.device) == self.classes
        return torch.cat([F.pad(self.owned, (0, 1)), behind.expand(len(self.background), -1)])

    def on_object(self, features: Tensor) -> Tensor:
        """bool [B,H,W]: the cells that show the object."""
        gates = gates_of(self)
        if gates:
            return gates[0].on_object(features)[:, 0]
        plain = self.embedding.plain(features)
        if self.config.published_foreground:
            return published_foreground(plain)
        return self.foreground.on_object(plain)[:, 0]

    def assigned(self, tokens: Tensor, labels: Tensor) -> Tensor:
        """The place in `all_prototypes` of the prototype that each patch [n,D] with a label int64 [n] belongs to."""
        return assigned_prototypes(_cosines(tokens, self.all_prototypes()), labels, self.owners())

    @torch.no_grad()
    def follow(self, plain: Tensor, tokens: Tensor, labels: Tensor) -> None:
        """Let prototypes follow the patches that belong to them.

        Args:
            plain: [n,D] without the layers on top, of length one.
            tokens: [n,D] with them.
            labels: int64 [n], the number of classes for the background.
        """
        prototypes, assigned, momentum = self.all_prototypes(), self.assigned(tokens, labels), self.config.momentum
        if self.config.published_sums:
            patches = over_processes(labels.bincount(minlength=self.classes + 1))
            present = self.owners()[:, patches > 0].any(1)
            moved = moved_by_sums(prototypes, plain, assigned, momentum, present)
        else:
            moved = moved_prototypes(prototypes, plain, assigned, momentum)
        count = len(self.owned)
        self.branch.prototypes.copy_(moved[:count].view_as(self.branch.prototypes))
        self.background.copy_(moved[count:])

    def patch_cost(self, tokens: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy, among all prototypes, of those that patches [n,D] with labels int64 [n] belong to; 0
        where no patch counts."""
        similarity = _cosines(tokens, self.all_prototypes())
        weights = similarity.new_ones(similarity.shape[1])
        weights[len(self.owned) :] = self.config.background_weight
        assigned = assigned_prototypes(similarity, labels, self.owners())
        logits = similarity / self.config.patch_temperature
        total = F.cross_entropy(logits, assigned, weights, ignore_index=-1, reduction="sum")
        counted = weights[assigned[assigned >= 0]].sum()
        return total / torch.where(counted > 0, counted, 1)

    # ------------------------------------------------------------------ training

    @torch.no_grad()
    def start_from_patches(self, sample: Callable[[], tuple[Tensor, Tensor]]) -> None:
        """Standardise the features, and find the direction that tells the object where no gate does, as configured."""
        own_foreground = not (gates_of(self) or self.config.published_foreground)
        if not (self.config.feature_norm or own_foreground):
            return
        embedding, (patches, outside) = self.embedding, sample()
        if self.config.feature_norm:
            embedding.mean.copy_(patches.mean(0))
            embedding.deviation.copy_(patches.std(0).clamp_min(torch.finfo(patches.dtype).eps))
        if own_foreground:
            plain = embedding.plain(patches.to(embedding.mean)[:, :, None, None])[:, :, 0, 0].cpu()
            weight, bias = foreground_rule(plain, outside)
            self.foreground.weight.copy_(weight)
            self.foreground.bias.copy_(bias)

    def observe(self, output: PrototypeOutput, labels: Tensor) -> None:
        """Prototypes follow their patches while the network learns nothing."""
        if isinstance(output, PatchOutput) and not any(parameter.requires_grad for parameter in self.parameters()):
            plain = self.embedding.plain(output.features)
            tokens = plain + self.embedding.added(plain)
            self.follow(_rows(plain), _rows(tokens), self.patch_labels(output.features, labels))

    def patch_labels(self, features: Tensor, labels: Tensor) -> Tensor:
        """int64 [B*H*W]: the label of its image for each cell on the object, the number of classes for all others."""
        return torch.where(self.on_object(features), labels[:, None, None], self.classes).flatten()

    def loss_terms(
        self, output: PrototypeOutput, labels: Tensor, names: frozenset[str], active: str | None = None
    ) -> dict[str, Tensor]:
        """cross_entropy; patches, as `patch_cost` of all cells."""
        terms = {"cross_entropy": lambda: F.cross_entropy(output.logits, labels)}
        if isinstance(output, PatchOutput):
            features = output.features
            terms["patches"] = lambda: self.patch_cost(
                _rows(self.embedding(features)), self.patch_labels(features, labels)
            )
        return {name: term() for name, term in terms.items() if name in names}


@in_float32
def _cosines(patches: Tensor, prototypes: Tensor) -> Tensor:
    """[n,P] of patches [n,D] and prototypes [P,D]."""
    return F.normalize(patches, dim=1) @ F.normalize(prototypes, dim=1).T


def _rows(maps: Tensor) -> Tensor:
    """[B,D,H,W] -> [B*H*W,D]."""
    return maps.movedim(1, 3).flatten(0, 2)


def _random(count: int, channels: int) -> Tensor:
    return nn.init.trunc_normal_(torch.empty(count, channels), std=_START)
