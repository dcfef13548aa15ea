"""Description of a model for metrics: which prototypes a class is measured by, and the weights of its class scores.

A prototype that belongs to a class is measured on the images of that class, whatever was predicted (Huang et al.
2023).  Where all classes share the prototypes, a class is measured by those with its largest class weights, and a
prototype on the images of all classes that it is chosen for.  P prototypes, C classes, K prototypes of a class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from protoexplain.metrics.stats.prototype_sparsity import UniquePrototypes, unique_prototypes
from protoexplain.models.base import Branch, PrototypeModel
from protoexplain.models.contract import Ownership
from protoexplain.models.similarity import DotProduct, RectifiedCosine


@dataclass(frozen=True)
class ModelDescription:
    """The structure of a model, without its network.

    Args:
        classes: Names by label.
        ownership: Which classes own the prototypes.
        assigned: int64 [C,K], ascending; the prototypes that a class is measured by, then -1.
        branch: int64 [P].
        class_weights: [C,P] change of a class score per unit of activation.
        presence_weights: [C,P] what one unit of activation adds to a class score by being found.
        map_sizes: int64 [P,2], (h, w) of each prototype's similarity map.
        size: Side S of the input.
        shared_per_class: How many prototypes a class was given, where they are shared.
        unique: Of each branch, how many of its prototypes differ.
    """

    classes: tuple[str, ...]
    ownership: Ownership
    assigned: Tensor
    branch: Tensor
    class_weights: Tensor
    presence_weights: Tensor
    map_sizes: Tensor
    size: int
    shared_per_class: int
    unique: tuple[UniquePrototypes, ...] = ()

    @property
    def num_prototypes(self) -> int:
        return len(self.ownership.owned)

    @property
    def shared(self) -> bool:
        """Whether all classes share any of the prototypes."""
        return self.ownership.any_shared_by_all

    @property
    def assignment(self) -> str:
        """In words, which images a prototype is measured on."""
        if not self.shared:
            return "images of the prototype's class, or classes"
        return f"images of the classes that have the prototype among their {self.shared_per_class} largest weights"

    @property
    def finest_map(self) -> tuple[int, int]:
        """(h, w) of the similarity maps with most cells."""
        height, width = self.map_sizes[self.map_sizes.prod(1).argmax()].tolist()
        return height, width

    def measured_by(self, labels: Tensor) -> Tensor:
        """bool [n,P]: the prototypes that the class of each of n images is measured by."""
        found = torch.zeros(len(labels), self.num_prototypes + 1, dtype=torch.bool)
        found[torch.arange(len(labels))[:, None], self.assigned[labels]] = True
        return found[:, :-1]

    def clusters(self) -> Tensor:
        """[P] groups of prototypes that are measured on the same images: those of a class, or a shared one alone."""
        alone = len(self.classes) + torch.arange(self.num_prototypes)
        return torch.where(self.ownership.shared, alone, self.ownership.labels)

    def heat_weights(self) -> Tensor:
        """[C,K]: each branch's mean over its prototypes of a class, then the mean over branches; 0 for padding."""
        chosen = self.assigned.clamp_min(0)
        present = self.assigned >= 0
        branch = self.branch[chosen].masked_fill(~present, -1)
        weights = present / (branch[:, :, None] == branch[:, None]).sum(2)
        return weights / weights.sum(1, keepdim=True).clamp_min(1)


@torch.no_grad()
def describe_model(model: PrototypeModel, classes: Sequence[str], size: int, shared_per_class: int) -> ModelDescription:
    """Describe a model.

    Args:
        model: In eval mode.
        classes: Names by label.
        size: Side S of its input.
        shared_per_class: Prototypes that a class is measured by, where they are shared.
    """
    device = next(model.parameters()).device
    features = model.backbone(torch.zeros(1, 3, size, size, device=device))
    maps = model.activation_maps(features)
    ownership, weights = Ownership(model.ownership.owned.cpu()), model.class_weights().cpu()
    sizes = torch.tensor(model.branch_sizes())
    return ModelDescription(
        classes=tuple(classes),
        ownership=ownership,
        assigned=assign(ownership, weights, shared_per_class),
        branch=torch.arange(len(sizes)).repeat_interleave(sizes),
        class_weights=weights,
        presence_weights=model.presence_weights().cpu(),
        map_sizes=torch.cat([torch.tensor(each.shape[2:]).expand(each.shape[1], 2) for each in maps]),
        size=size,
        shared_per_class=shared_per_class,
        unique=tuple(_unique(branch, features) for _, branch in model.named_branches()),
    )


def _unique(branch: Branch, features: Tensor) -> UniquePrototypes:
    height, width = branch.addon(features).shape[2:]
    directions = isinstance(branch.similarity, DotProduct | RectifiedCosine)
    return unique_prototypes(branch.prototypes, directions, height * width)


def assign(ownership: Ownership, class_weights: Tensor, shared_per_class: int) -> Tensor:
    """The prototypes [C,K] that each class is measured by, ascending, padded with -1.

    Args:
        ownership: Of all prototypes.
        class_weights: [C,P].
        shared_per_class: How many of those that all classes share; only those with a positive weight.
    """
    shared = torch.nonzero(ownership.shared_by_all).flatten()
    rows = []
    for label, weights in enumerate(class_weights):
        ranked = shared[weights[shared].argsort(descending=True, stable=True)[:shared_per_class]]
        own = torch.nonzero(ownership.of_class(label) & ~ownership.shared_by_all).flatten()
        rows.append(torch.cat([own, ranked[weights[ranked] > 0]]).sort().values)
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
