"""Let the prototypes of a pool, and those of a decision tree, start from the parts of the object.

The mean of a part in a class is that of the cells that show the part in the images of the class.  The prototypes of a
pool are means of groups of those that are alike, and each class has slots for the groups of its own.  A tree is grown
from the root: each node asks for the mean that tells most of the class of the images that come to it.
N images, C classes, M parts, D channels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from protoexplain.errors import UserError
from protoexplain.models.base import Branch
from protoexplain.models.object_gate import GatedAddon, embedding_of
from protoexplain.models.parts import PartClassifier
from protoexplain.models.slots import SlotHead
from protoexplain.models.trees import TreeHead
from protoexplain.training.component_start import groups_of_classes
from protoexplain.training.part_start import copy_embedding, parts_of_images
from protoexplain.training.trainer import Trainer
from protoexplain.training.tree_growth import grow

CHOSEN = 1.0
"""By how much the logit of a slot for the prototype that it starts with is larger than its others."""
SCALES = (0.25, 0.5, 1.0, 2.0)
"""Standard deviations that the means may have in the channels of a tree's add-on, before the sigmoid: the larger, the
rarer a prototype is found."""


@torch.no_grad()
def start_shared(run: Trainer, first: PartClassifier) -> None:
    """Write the means of parts into the prototypes of a pool or of a tree, and what follows from them into its head.

    The add-on takes over the embedding of the part classifier, before its sigmoid.  Parts that do not tell classes
    apart by their own look start no prototype, unless none does; nor do parts that no image shows.

    Args:
        run: Its model has one branch, whose head is a `SlotHead` or a `TreeHead`; its object gate is set.
        first: Trained.

    Raises:
        UserError: No image shows a part.
    """
    ((_, branch),) = run.model.named_branches()
    head = branch.head
    shown, tells = parts_of_images(run, first), first.teacher.tells.cpu()
    seen = shown.isfinite().all(2).any(0)
    if not seen.any():
        raise UserError("no training image shows a part", "model.start", "set it to random, or look for fewer parts")
    chosen = seen & tells if (seen & tells).any() else seen
    labels = torch.tensor([record.label for record in run.data.train])
    means = class_part_means(shown[:, chosen], labels, run.model.classes)
    spread = float(means.std())
    if isinstance(head, SlotHead):
        _embed(branch, first, 1 / spread)
        _start_pool(head, branch.prototypes, means / spread)
    elif isinstance(head, TreeHead):
        scale = _start_tree(run, head, first, means / spread, 1 / spread)
        _embed(branch, first, scale / spread)


def class_part_means(shown: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Means [C,M,D] of the parts of images [N,M,D] in each class; where no image of a class shows a part, the mean over
    the others'.

    Args:
        shown: NaN where an image does not show a part; some image shows each part.
        labels: [N].
        classes: Number C.
    """
    means = torch.stack([shown[labels == label].nanmean(0) for label in range(classes)])
    return torch.where(means.isfinite(), means, means.nanmean(0))


def groups_of_part_means(means: Tensor, count: int) -> Iterator[tuple[Tensor, int]]:
    """At most `count` groups of means [C,M,D] that are alike, divided among the parts as evenly as possible.

    Yields:
        The classes whose mean of a part is in the group, bool [C], and the part.
    """
    for part, places in enumerate(np.array_split(np.arange(count), means.shape[1])):
        if len(places):
            groups = groups_of_classes(means[:, part], min(len(places), len(means)))
            yield from ((groups == group, part) for group in groups.unique())


def _start_pool(head: SlotHead, prototypes: Tensor, means: Tensor) -> None:
    """Prototypes are means of groups, and slot n of a class is for the group of its n-th part.  Prototypes and slots
    that are left over stay random.
    """
    logits = head.slot_logits.data
    for index, (classes, part) in enumerate(groups_of_part_means(means, len(prototypes))):
        prototypes.data[index] = means[classes, part].mean(0).sigmoid()[:, None, None].to(prototypes)
        if part < logits.shape[2]:
            own = classes.to(logits.device)
            logits[own, index, part] = logits[own, :, part].amax(1) + CHOSEN


def _start_tree(run: Trainer, head: TreeHead, first: PartClassifier, means: Tensor, factor: float) -> float:
    """Grow a tree over the means [C,M,D] for each scale of the add-on's channels, and write that which explains the
    labels of the training images best.

    Args:
        run: Of the model.
        head: Its head.
        first: Trained, in evaluation mode.
        means: Of unit standard deviation.
        factor: Of the embedding of the part classifier that makes it so.

    Returns:
        The scale.
    """
    model, ((_, branch),), ((_, learned),) = run.model.eval(), run.model.named_branches(), first.named_branches()
    candidates = means.flatten(0, 1)[..., None, None].to(branch.prototypes)
    found: list[list[Tensor]] = [[] for _ in SCALES]
    labels = []
    for images, targets, _ in run.clean_batches(list(range(len(run.data.train))), "parts that tell classes"):
        features = model.backbone(images)
        values = factor * learned.addon(features)
        for some, scale in zip(found, SCALES, strict=True):
            z = (scale * values).sigmoid()
            if isinstance(branch.addon, GatedAddon):
                z = z * branch.addon.on_object(features)
            some.append(branch.activation(branch.similarity.best(z, (scale * candidates).sigmoid())[0]))
        labels.append(targets)
    run.callbacks.watcher.line("growing the tree")
    grown = [grow(torch.cat(some), torch.cat(labels), model.classes, head.depth) for some in found]
    scale, tree = max(zip(SCALES, grown, strict=True), key=lambda entry: entry[1].likelihood)
    branch.prototypes.data[head.rows] = (scale * candidates[tree.chosen]).sigmoid()
    head.counts.copy_(tree.counts)
    return scale


def _embed(branch: Branch, first: PartClassifier, factor: float) -> None:
    """Let the add-on begin as the embedding of the part classifier times a factor, before its sigmoid."""
    taken = copy_embedding(embedding_of(branch.addon), first.named_branches()[0][1].addon, factor)
    assert taken, "see `check_model`"
