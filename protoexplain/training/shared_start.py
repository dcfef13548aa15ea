"""Let prototypes that all classes share start from the looks of parts: those of a pool, and those of a decision tree.

The look of a part in a class is the mean of the cells that show the part in the images of the class.  The prototypes of
a pool are kinds of looks, and each class has slots for those that its own looks are of.  A tree is grown from the root:
each node asks for the look that tells most of the class of the images that come to it.
N images, C classes, M parts, D channels, K looks, P prototypes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from protoexplain.errors import UserError
from protoexplain.models.object_gate import GatedAddon, embedding_of
from protoexplain.models.parts import PartClassifier
from protoexplain.models.slots import SlotHead
from protoexplain.models.trees import TreeHead
from protoexplain.training.component_start import groups_of_classes
from protoexplain.training.part_start import copy_embedding, parts_of_images
from protoexplain.training.trainer import Trainer
from protoexplain.training.tree_growth import grow

CHOSEN = 1.0
"""Logit of a slot for the prototype that it starts with, where those of the others are about 0.1."""
CHANNELS = 4
"""Of a tree, that tell the same kind of looks: patches of different kinds are then farther apart than 2, at which a
prototype is found with a probability of 0.14."""
THRESHOLDS, SOFTNESSES = (0.6, 0.7, 0.8), (0.05, 0.1)
"""Of a tree's channels: the similarity to a kind of looks at which a channel is at 0.5, and how much more brings it to
0.73."""


@torch.no_grad()
def start_shared(run: Trainer, first: PartClassifier) -> None:
    """Write the looks of parts into the prototypes of a pool or of a tree, and what follows from them into its head.

    Parts that do not tell classes apart by their own look start no prototype, unless none does.

    Args:
        run: Its model has one branch, whose head is a `SlotHead` or a `TreeHead`; its object gate is set.
        first: Trained.

    Raises:
        UserError: An add-on that cannot begin as an embedding of the parts.
    """
    head = run.model.named_branches()[0][1].head
    shown, tells = parts_of_images(run, first), first.teacher.tells.cpu()
    looks = class_looks(shown, torch.tensor([record.label for record in run.data.train]), run.model.classes)
    looks = looks[:, tells if tells.any() else ~tells]
    if isinstance(head, SlotHead):
        _start_pool(run, head, first, looks)
    elif isinstance(head, TreeHead):
        _start_tree(run, head, first, looks)


def class_looks(shown: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Means [C,M,D] of the parts of images [N,M,D] in each class; where no image of a class shows a part, the mean over
    the others'.

    Args:
        shown: NaN where an image does not show a part.
        labels: [N].
        classes: Number C.
    """
    looks = torch.stack([shown[labels == label].nanmean(0) for label in range(classes)])
    return torch.where(looks.isfinite(), looks, looks.nanmean(0)).nan_to_num()


def kinds_of_looks(looks: Tensor, count: int) -> Iterator[tuple[Tensor, int]]:
    """At most `count` groups of looks [C,M,D] that are alike, as equally many of each part as it goes.

    Yields:
        The classes whose look of a part is of the kind, bool [C], and the part.
    """
    for part, places in enumerate(np.array_split(np.arange(count), looks.shape[1])):
        if len(places):
            groups = groups_of_classes(looks[:, part], min(len(places), len(looks)))
            yield from ((groups == group, part) for group in groups.unique())


def _start_pool(run: Trainer, head: SlotHead, first: PartClassifier, looks: Tensor) -> None:
    """Prototypes are kinds of looks, in the embedding of the part classifier with channels of unit variance; slot n of
    a class is for the kind of its n-th part.  Prototypes and slots that are left over stay random.
    """
    ((_, branch),) = run.model.named_branches()
    unit = looks / looks.std()
    _embed(branch.addon, first, torch.eye(looks.shape[2]) / looks.std())
    for index, (classes, part) in enumerate(kinds_of_looks(unit, len(branch.prototypes))):
        branch.prototypes.data[index] = unit[classes, part].mean(0).sigmoid()[:, None, None].to(branch.prototypes)
        if part < head.slot_logits.shape[2]:
            head.slot_logits.data[classes.to(head.slot_logits.device), index, part] += CHOSEN


def _start_tree(run: Trainer, head: TreeHead, first: PartClassifier, looks: Tensor) -> None:
    """Channels tell kinds of looks, each by a threshold of the similarity to it.  A tree that asks for kinds is grown
    for each threshold and softness, and that is kept which explains the labels of the training images best.
    """
    ((_, branch),) = run.model.named_branches()
    width = branch.prototypes.shape[1]
    kinds = kinds_of_looks(looks, max(1, width // CHANNELS))
    centres = torch.stack([F.normalize(looks[classes, part], dim=1).mean(0) for classes, part in kinds])
    centres = F.normalize(centres, dim=1).to(run.fabric.device)
    directions = F.pad(centres.repeat(CHANNELS, 1), (0, 0, 0, width - CHANNELS * len(centres)))
    channels = Channels(directions / looks.norm(dim=2).mean(), directions @ centres.T)
    choices = list(product(THRESHOLDS, SOFTNESSES))
    found, labels = _found(run, first, channels, choices)
    grown = [grow(some, labels, run.model.classes, head.depth) for some in found]
    (threshold, softness), tree = max(zip(choices, grown, strict=True), key=lambda entry: entry[1].likelihood)
    _embed(branch.addon, first, channels.directions / softness, -threshold / softness)
    written = ((channels.of_kinds.T[tree.chosen] - threshold) / softness).sigmoid()
    branch.prototypes.data[head.rows] = written[..., None, None].to(branch.prototypes)
    head.counts.copy_(tree.counts)


@dataclass(frozen=True)
class Channels:
    """What the channels of a tree's add-on tell, before a threshold.

    Args:
        directions: [d,D] in the embedding of the part classifier.
        of_kinds: [d,K], the channels of each kind of looks.
    """

    directions: Tensor
    of_kinds: Tensor


def _found(
    run: Trainer, first: PartClassifier, channels: Channels, choices: Sequence[tuple[float, float]]
) -> tuple[list[Tensor], Tensor]:
    """For each threshold and softness how far each kind is found in each training image [N,K]; and the labels [N]."""
    model, ((_, branch),), ((_, learned),) = run.model.eval(), run.model.named_branches(), first.named_branches()
    found: list[list[Tensor]] = [[] for _ in choices]
    labels = []
    for images, targets, _ in run.clean_batches(list(range(len(run.data.train))), "parts that tell classes"):
        features = model.backbone(images)
        values = torch.einsum("kd,bdhw->bkhw", channels.directions, learned.addon(features))
        if isinstance(branch.addon, GatedAddon):
            values = values.masked_fill(~branch.addon.on_object(features), -torch.inf)
        for some, (threshold, softness) in zip(found, choices, strict=True):
            z, asked = (((each - threshold) / softness).sigmoid() for each in (values, channels.of_kinds.T))
            some.append(branch.activation(branch.similarity.best(z, asked[..., None, None])[0]))
        labels.append(targets)
    return [torch.cat(some) for some in found], torch.cat(labels)


def _embed(addon: nn.Module, first: PartClassifier, matrix: Tensor, bias: float = 0.0) -> None:
    """Let an add-on begin as the embedding of the part classifier, then a matrix [d,D] and a bias, then its sigmoid.

    Raises:
        UserError: It has other layers.
    """
    norm, conv = first.named_branches()[0][1].addon.children()
    assert isinstance(conv, nn.Conv2d)
    turned = nn.Conv2d(conv.in_channels, len(matrix), 1, bias=False).to(conv.weight.device)
    turned.weight.copy_((matrix.to(conv.weight) @ conv.weight.flatten(1))[..., None, None])
    if not copy_embedding(embedding_of(addon), nn.Sequential(norm, turned)):
        fix = f"set model.feature_norm to true and model.prototype_channels to {len(matrix)}"
        raise UserError("the add-on cannot begin as an embedding of the parts", "model.start", fix)
    *_, last = (layer for layer in addon.modules() if isinstance(layer, nn.Conv2d))
    nn.init.constant_(last.bias, bias)  # type: ignore[arg-type]
