"""Let prototypes that all classes share start from the looks of parts: those of a pool, and those of a decision tree.

The look of a part in a class is the mean of the cells that show the part in the images of the class.  The prototypes of
a pool are kinds of looks, and each class has slots for those that its own looks are of.  A tree is grown from the root:
each node asks for the look that tells most of the class of the images that come to it.
N images, C classes, M parts, D channels, K looks, P prototypes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from protoexplain.errors import UserError
from protoexplain.models.object_gate import GatedAddon, embedding_of
from protoexplain.models.parts import PartClassifier
from protoexplain.models.slots import SlotHead
from protoexplain.models.trees import TreeHead
from protoexplain.training.component_start import groups_of_classes
from protoexplain.training.part_start import copy_embedding, parts_of_images
from protoexplain.training.trainer import Trainer
from protoexplain.training.tree_growth import GrownTree, grow

CHOSEN = 1.0
"""Logit of a slot for the prototype that it starts with, where those of the others are about 0.1."""
SCALES = (0.25, 0.5, 1.0, 2.0)
"""Standard deviations that the channels of a tree's add-on may start with, before the sigmoid: the larger, the rarer a
prototype is found."""


@torch.no_grad()
def start_shared(run: Trainer, first: PartClassifier) -> None:
    """Write the looks of parts into the prototypes of a pool or of a tree, and what follows from them into its head.

    The add-on takes over the embedding of the part classifier, before its sigmoid.  Parts that do not tell classes
    apart by their own look start no prototype, unless none does.

    Args:
        run: Its model has one branch, whose head is a `SlotHead` or a `TreeHead`; its object gate is set.
        first: Trained.

    Raises:
        UserError: An add-on that cannot begin as the embedding of the parts.
    """
    ((_, branch),), ((_, learned),) = run.model.named_branches(), first.named_branches()
    shown = parts_of_images(run, first)
    spread = float(shown[shown.isfinite().all(2)].std())
    if not copy_embedding(embedding_of(branch.addon), learned.addon, 1 / spread):
        fix = f"set model.feature_norm to true and model.prototype_channels to {shown.shape[2]}"
        raise UserError("the add-on cannot begin as the embedding of the parts", "model.start", fix)
    tells = first.teacher.tells.cpu()
    looks = class_looks(shown / spread, torch.tensor([record.label for record in run.data.train]), run.model.classes)
    looks = looks[:, tells if tells.any() else ~tells]
    if isinstance(branch.head, SlotHead):
        _start_pool(branch.head, branch.prototypes, looks)
    elif isinstance(branch.head, TreeHead):
        _start_tree(run, branch.head, first, looks.flatten(0, 1), 1 / spread)


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


def _start_pool(head: SlotHead, prototypes: Tensor, looks: Tensor) -> None:
    """Kinds of looks [C,M,D] of each part, as equally many as it goes; slot n of a class is for its n-th part.

    Prototypes and slots that are left over stay random.
    """
    parts, written = looks.shape[1], 0
    for part, places in enumerate(np.array_split(np.arange(len(prototypes)), parts)):
        groups = groups_of_classes(looks[:, part], min(len(places), len(looks)))
        for group in groups.unique():
            own = groups == group
            prototypes.data[written] = looks[own, part].mean(0).sigmoid()[:, None, None].to(prototypes)
            if part < head.slot_logits.shape[2]:
                head.slot_logits.data[own.to(head.slot_logits.device), written, part] += CHOSEN
            written += 1


def _start_tree(run: Trainer, head: TreeHead, first: PartClassifier, looks: Tensor, factor: float) -> None:
    """Grow a tree over the looks [K,D] for each scale of the add-on's channels, and keep that which explains the labels
    of the training images best.
    """
    model, ((_, branch),), ((_, learned),) = run.model.eval(), run.model.named_branches(), first.named_branches()
    addon, looks = branch.addon, looks.to(run.fabric.device)
    found: list[list[Tensor]] = [[] for _ in SCALES]
    labels = []
    for images, targets, _ in run.clean_batches(list(range(len(run.data.train))), "parts that tell classes"):
        features = model.backbone(images)
        values = learned.addon(features) * factor
        silent = ~addon.on_object(features) if isinstance(addon, GatedAddon) else torch.zeros_like(values[:, :1]) > 0
        labels.append(targets)
        for some, scale in zip(found, SCALES, strict=True):
            z = (scale * values).sigmoid().masked_fill(silent, 0)
            best, _ = branch.similarity.best(z, (scale * looks).sigmoid()[..., None, None])
            some.append(branch.activation(best))
    grown = [grow(torch.cat(some), torch.cat(labels), model.classes, head.depth) for some in found]
    scale, tree = max(zip(SCALES, grown, strict=True), key=_explained)
    copy_embedding(embedding_of(addon), learned.addon, scale * factor)
    branch.prototypes.data[head.rows] = (scale * looks[tree.chosen]).sigmoid()[..., None, None].to(branch.prototypes)
    head.counts.copy_(tree.counts)


def _explained(entry: tuple[float, GrownTree]) -> float:
    return entry[1].likelihood
