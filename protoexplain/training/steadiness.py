"""Whether a prototype keeps to one place of the object, told without part labels.

A region of one division of the object may hold two parts, such as wings in some images and the tail in others, and a
prototype that wanders between them never leaves it.  Other divisions, which began from other random numbers, draw other
borders and part the two: a prototype is steady if its places in the images of its class lie in one region of every
division.  B images, P prototypes, C classes, M parts, R regions, K divisions.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from protoexplain.models.parts import PartClassifier

NEVER = -1.0
"""In the place of the share of a prototype that shall give way however steady it is."""


@torch.no_grad()
def steadiness(first: PartClassifier, batches: Iterable[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """Share of the images of its class in which each prototype is most similar in its most frequent region, averaged
    over the divisions: float64 [C * M] in [0, 1], on the CPU; 0 where the class has no image.

    Args:
        first: Trained, its teacher too.
        batches: All training images once: images, labels, indices.
    """
    first.eval()
    ((_, branch),), teacher, total = first.named_branches(), first.teacher, None
    for images, labels, _ in batches:
        cells = branch.similarity_maps(first.backbone(images)).flatten(2).argmax(2)
        regions = teacher.regions_of(teacher.backbone(images)).flatten(2)
        found = regions.gather(2, cells.expand(len(regions), -1, -1))
        own = first.ownership.of_images(labels)[None, :, :, None]
        counts = (F.one_hot(found, teacher.regions + 1) * own).sum(1)
        total = counts if total is None else total + counts
    assert total is not None
    return (total.amax(2).double() / total.sum(2).clamp_min(1)).mean(0).cpu()


def gives_way(shares: Tensor, groups: Tensor, least: float) -> Tensor:
    """The prototype that takes the place of each: int64 [P], itself where it stays.

    The steadiest two thirds of each group, rounded down but at least one, stay, and whoever is steady enough; the
    others give way to the steadiest one of their group.  Those marked `NEVER` give way in any case, but for one where
    the group has no other.

    Args:
        shares: [P] as by `steadiness`.
        groups: int64 [P].
        least: Share from which a prototype is steady.
    """
    into = torch.arange(len(shares))
    for group in groups.unique():
        members = (groups == group).nonzero()[:, 0]
        order = members[shares[members].argsort(descending=True, stable=True)]
        others = order[max(1, 2 * len(order) // 3) :]
        into[others[shares[others] < least]] = order[0]
        into[order[1:][shares[order[1:]] == NEVER]] = order[0]
    return into
