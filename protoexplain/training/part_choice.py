"""Which regions of the object are parts worth a prototype: those that tell classes apart, and that one finds again when
the object is divided anew.

Whether a region tells classes apart is read from the lowest layers, whose cells see little more than themselves.
Whether it is found again is its agreement with the regions of other divisions, which began from other random numbers:
what stability selection asks of clusters (Ben-Hur et al. 2002, "A stability based method for discovering structure in
clustered data").  N images, H x W cells, R regions, D channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_AT_ONCE = 256
_TELLING = 0.15
"""Share of the ratio of the region that tells most; of regions with less, little but chance is left (docs/parts.md)."""


def between_classes(low: Tensor, shown: Tensor, labels: Tensor, regions: int) -> Tensor:
    """How much of what varies in the look of each region varies between classes: float64 [R] in [0, 1], the correlation
    ratio of its mean vector in each image, corrected for chance and averaged over the channels; 0 where no class has
    two images that show it.

    Classes of few images differ by chance alone, the more the fewer they are; epsilon squared (Kelley 1935, "An
    unbiased correlation ratio measure") is 0 in the mean for a region that looks alike in all classes.

    Args:
        low: [N,D,H,W] of low layers.
        shown: int64 [N,H,W] region of each cell, other numbers where it is none.
        labels: int64 [N].
        regions: Number R.
    """
    sums, counts = [], []
    for some, cells in zip(low.split(_AT_ONCE), shown.flatten(1).split(_AT_ONCE), strict=True):
        there = F.one_hot(cells.clamp_max(regions), regions + 1)[..., :regions].float()
        sums.append(some.flatten(2).float() @ there)
        counts.append(there.sum(1))
    count, found = torch.cat(counts), torch.zeros(regions, dtype=torch.float64)
    looks = torch.cat(sums).double().cpu() / count[:, None].clamp_min(1).cpu()
    for region, seen in enumerate((count > 0).T.cpu()):
        if int(seen.sum()) > 1:
            found[region] = _correlation_ratio(looks[seen, :, region], labels.cpu()[seen])
    return found


def _correlation_ratio(values: Tensor, labels: Tensor) -> Tensor:
    """Epsilon squared of values [n,D] between the classes [n], averaged over the channels; at least 0."""
    values = values - values.mean(0)
    images = labels.bincount()
    spare = len(values) - int((images > 0).sum())
    if not spare:
        return values.new_zeros(())
    of_class = values.new_zeros(len(images), values.shape[1]).index_add_(0, labels, values)
    between, total = (of_class.square() / images[:, None].clamp_min(1)).sum(0), values.square().sum(0)
    within = (1 - between / total.clamp_min(1e-12)) * (len(values) - 1) / spare
    return (1 - within).mean().clamp_min(0)


def found_again(divisions: Sequence[Tensor], regions: int) -> list[Tensor]:
    """How well each region is found again in the other divisions of the same images: for each division float64 [R] in
    [0, 1], the intersection over union with the most similar region of another division, averaged over these; 1 where
    there is no other one.

    Args:
        divisions: Each int64 [N,H,W] region of each cell, other numbers where it is none.
        regions: Number R.
    """
    found = []
    for one in divisions:
        others = [_overlap(one, other, regions).amax(1) for other in divisions if other is not one]
        found.append(torch.stack(others).mean(0) if others else torch.ones(regions, dtype=torch.float64))
    return found


def best_regions(worth: Tensor, parts: int) -> tuple[int, Tensor]:
    """The division whose best regions are worth most together, and int64 [parts] these regions, the best one first.

    Args:
        worth: [K,R] of the regions of each of K divisions.
        parts: How many regions are wanted.
    """
    best = int(worth.topk(parts).values.sum(1).argmax())
    return best, worth[best].argsort(descending=True, stable=True)[:parts]


def tells_classes(ratios: Tensor, chosen: Tensor) -> Tensor:
    """Whether each of some regions tells classes apart by its own look: bool, for each of the chosen.

    The features of a region that does not may still tell them, since they have seen the rest of the object; what is
    found there is then no part that a person could check.

    Args:
        ratios: [R] of the regions of a division, as by `between_classes`.
        chosen: int64, some of them.
    """
    return ratios[chosen] >= _TELLING * ratios.max()


def _overlap(one: Tensor, other: Tensor, regions: int) -> Tensor:
    """Intersection over union float64 [R,R] of the regions of two divisions."""
    pairs = one.flatten().clamp_max(regions) * (regions + 1) + other.flatten().clamp_max(regions)
    counts = pairs.bincount(minlength=(regions + 1) ** 2).view(regions + 1, -1).double().cpu()
    both, first, second = counts[:-1, :-1], counts[:-1].sum(1), counts[:, :-1].sum(0)
    return both / (first[:, None] + second - both).clamp_min(1)
