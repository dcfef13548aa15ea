"""Let prototypes that all classes share start from the looks of parts: those of a pool, and those of a decision tree.

The look of a part in a class is the mean of the cells that show the part in the images of the class.  The prototypes of
a pool are kinds of looks, and each class has slots for those that its own looks are of.  A tree is grown from the root:
each node asks for the look that tells most of the class of the images that come to it.
N images, C classes, M parts, D channels, K looks, P prototypes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from protoexplain.errors import UserError
from protoexplain.models.base import PrototypeModel
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
SCALES = (0.25, 0.5, 1.0, 2.0)
"""Standard deviations that the channels of a tree's add-on may start with, before the sigmoid: the larger, the rarer a
prototype is found."""


@torch.no_grad()
def start_shared(run: Trainer, first: PartClassifier) -> None:
    """Write the looks of parts into the prototypes of a pool or of a tree, and what follows from them into its head.

    Parts that do not tell classes apart by their own look start no prototype, unless none does.

    Args:
        run: Its model has one branch, whose head is a `SlotHead` or a `TreeHead`; its object gate is set.
        first: Trained.

    Raises:
        UserError: An add-on that cannot begin as the embedding of the parts.
    """
    head = run.model.named_branches()[0][1].head
    shown, tells = parts_of_images(run, first), first.teacher.tells.cpu()
    looks = class_looks(shown, torch.tensor([record.label for record in run.data.train]), run.model.classes)
    looks = looks[:, tells if tells.any() else ~tells]
    unit = looks / looks.std()
    if isinstance(head, SlotHead):
        _embed(run.model, first, 1 / float(looks.std()))
        _start_pool(run, head, unit)
    elif isinstance(head, TreeHead):
        _start_tree(run, head, first, unit, 1 / float(looks.std()))


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


def _start_pool(run: Trainer, head: SlotHead, looks: Tensor) -> None:
    """Prototypes are kinds of looks, and slot n of a class is for the kind of its n-th part.  Prototypes and slots that
    are left over stay random.
    """
    ((_, branch),) = run.model.named_branches()
    for index, (classes, part) in enumerate(kinds_of_looks(looks, len(branch.prototypes))):
        branch.prototypes.data[index] = looks[classes, part].mean(0).sigmoid()[:, None, None].to(branch.prototypes)
        if part < head.slot_logits.shape[2]:
            head.slot_logits.data[classes.to(head.slot_logits.device), index, part] += CHOSEN


def _start_tree(run: Trainer, head: TreeHead, first: PartClassifier, looks: Tensor, factor: float) -> None:
    """Grow a tree over kinds of looks for each scale of the add-on's channels, and keep that which explains the labels
    of the training images best.
    """
    model, ((_, branch),), ((_, learned),) = run.model.eval(), run.model.named_branches(), first.named_branches()
    kinds = [looks[classes, part].mean(0) for classes, part in kinds_of_looks(looks, len(branch.prototypes))]
    asked = torch.stack(kinds)[..., None, None].to(branch.prototypes)
    found: list[list[Tensor]] = [[] for _ in SCALES]
    labels = []
    for images, targets, _ in run.clean_batches(list(range(len(run.data.train))), "parts that tell classes"):
        features = model.backbone(images)
        values = factor * learned.addon(features)
        for some, scale in zip(found, SCALES, strict=True):
            z = (scale * values).sigmoid()
            if isinstance(branch.addon, GatedAddon):
                z = z * branch.addon.on_object(features)
            some.append(branch.activation(branch.similarity.best(z, (scale * asked).sigmoid())[0]))
        labels.append(targets)
    grown = [grow(torch.cat(some), torch.cat(labels), model.classes, head.depth) for some in found]
    scale, tree = max(zip(SCALES, grown, strict=True), key=lambda entry: entry[1].likelihood)
    _embed(model, first, scale * factor)
    branch.prototypes.data[head.rows] = (scale * asked[tree.chosen]).sigmoid()
    head.counts.copy_(tree.counts)


def _embed(model: PrototypeModel, first: PartClassifier, factor: float) -> None:
    """Let the add-on begin as the embedding of the part classifier times a factor, before its sigmoid.

    Raises:
        UserError: It has other layers.
    """
    ((_, branch),), ((_, learned),) = model.named_branches(), first.named_branches()
    if not copy_embedding(embedding_of(branch.addon), learned.addon, factor):
        fix = f"set model.feature_norm to true and model.prototype_channels to {learned.prototypes.shape[1]}"
        raise UserError("the add-on cannot begin as the embedding of the parts", "model.start", fix)
