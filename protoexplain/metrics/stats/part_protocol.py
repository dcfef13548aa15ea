"""The scores of the FunnyBirds protocol for each image, from class scores of images without parts.

Hesse et al. 2023, "FunnyBirds: A Synthetic Vision Dataset for a Part-Based Analysis of Explainable AI Methods" (ICCV).
N images, C classes, P parts, I items (the parts, then the objects of the background), T thresholds.  K is the set of
the items that an explanation names.  A set of parts is a whole number, bit p of which stands for part p.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from protoexplain.data.class_parts import PartSet
from protoexplain.metrics.stats.bootstrap import Numbers

THRESHOLDS = tuple((0.01 + (0.5 - 0.01) * step / 79) for step in range(80))
"""Shares of the whole attribution above which an item is named (published)."""
DECISIVE = 0.05
"""Least fall of the class score, as a share of it, at which an item counts as relevant (published)."""


def named_items(importance: Tensor, total: Tensor, published: bool = False) -> Tensor:
    """bool [...,T,I]: which items an explanation names at each of `THRESHOLDS`.

    Args:
        importance: [...,I] of the items.
        total: [...] sum of the whole attribution.
        published: An item is named above t times the total even where the total is negative, so that what is not in
            the image is named; by default only items that speak for the class are.
    """
    shares = torch.tensor(THRESHOLDS, dtype=torch.float64)
    level = shares * total.double()[..., None].cpu()
    if not published:
        level = level.clamp_min(0)
    return importance.double().cpu()[..., None, :] > level[..., None]


def sets_of(named: Tensor) -> Tensor:
    """int64 [...]: the parts bool [...,P] as sets."""
    return (named.long() << torch.arange(named.shape[-1])).sum(-1)


def members(parts: Tensor, count: int) -> Tensor:
    """bool [...,P]: whether each of P parts is in the sets int64 [...]."""
    return (parts[..., None] >> torch.arange(count)) & 1 == 1


def controlled_check(named: Tensor, labels: Tensor, sets: Sequence[Sequence[PartSet]]) -> Tensor:
    """float64 [N,T]: the largest share of a minimal sufficient set of the class that the explanation names.

    Args:
        named: bool [N,T,P] for the label.
        labels: int64 [N].
        sets: Of each class; without any the share is 0.
    """
    best = torch.zeros(named.shape[:2], dtype=torch.float64)
    for label in labels.unique().tolist():
        rows = labels == label
        for parts in sets[label]:
            share = (named[rows] & members(torch.tensor(parts), named.shape[2])).sum(2) / parts.bit_count()
            best[rows] = torch.maximum(best[rows], share.double())
    return best


def agreement(predicted: Tensor, changed: Tensor) -> Tensor:
    """float64 [N,T]: 1 where the prediction int64 [N] is that of the changed image [N,T]; NaN for those not at hand."""
    return (changed == predicted[:, None]).double().masked_fill(changed < 0, torch.nan)


def relevant(score: Tensor, without: Tensor) -> Tensor:
    """bool [N,I]: whether the class score [N] falls by at least 5 % of its size without an item, [N,I]."""
    fall = score[:, None] - without
    return (fall.abs() >= DECISIVE * score[:, None].abs()) & (fall >= 0)


def distraction(named: Tensor, irrelevant: Tensor) -> Tensor:
    """float64 [N,T]: the share of the irrelevant items bool [N,I] that K [N,T,I] holds; NaN for images without any."""
    count = irrelevant.sum(1, keepdim=True).double()
    share = (named & irrelevant[:, None]).sum(2) / count
    return share.masked_fill((count == 0).expand_as(share), torch.nan)


def rank_agreement(falls: Tensor, importance: Tensor) -> Tensor:
    """float64 [N]: (Spearman's correlation + 1) / 2 over parts; NaN where one side is constant.

    Args:
        falls: [N,P] of the class score without each part.
        importance: [N,P] of the parts.
    """
    from scipy.stats import rankdata

    ranks = (torch.from_numpy(rankdata(table.double().numpy(), axis=1)) for table in (falls, importance))
    first, second = (table - table.mean(1, keepdim=True) for table in ranks)
    scale = (first.square().sum(1) * second.square().sum(1)).sqrt()
    return ((first * second).sum(1) / scale + 1) / 2


def contrasts_hold(first: Tensor, second: Tensor) -> Tensor:
    """bool [N]: whether taking the parts that a class shares costs that class more than taking those of the other.

    Args:
        first: [N,3] score of the first class for the image, without its shared parts, without those of the second.
        second: [N,3] the same of the second class: the image, without its shared parts, without those of the first.
    """
    (whole, own, other), (whole_, own_, other_) = first.unbind(1), second.unbind(1)
    return (own - whole < other - whole) & (own_ - whole_ < other_ - whole_)


def contrast_points(first: Tensor, second: Tensor, shared: Tensor) -> Tensor:
    """float64 [N]: the mean of two points, each 1 where a class is said to need the parts that it shares more.

    Args:
        first: [N,P] importance of the parts for the first class.
        second: [N,P] for the second.
        shared: bool [N,2,P] the parts that each shares with the class of the image.
    """
    by_class = torch.stack([first, second], 1).double()
    sums = torch.einsum("nkp,nsp->nks", by_class, shared.double())
    return ((sums[:, 0, 0] > sums[:, 1, 0]).double() + (sums[:, 1, 1] > sums[:, 0, 1]).double()) / 2


@dataclass(frozen=True)
class Curves:
    """The four checks that make up completeness, for each image and threshold, NaN where an image does not count.

    Args:
        controlled: [N,T] share of a minimal sufficient set that is named; of images that are classified rightly.
        preserved: [N,T] whether the prediction stays with the named parts alone.
        deleted: [N,T] whether it changes without them.
        distracted: [N,T] share of the irrelevant items that are named.
    """

    controlled: Tensor
    preserved: Tensor
    deleted: Tensor
    distracted: Tensor

    def rows(self) -> Numbers:
        """[N,8*T] of sums and counts, to be added up."""
        tables = (self.controlled, self.preserved, self.deleted, self.distracted)
        return torch.cat(
            [part for table in tables for part in (table.nan_to_num(0), (~table.isnan()).double())], 1
        ).numpy()


def check_means(sums: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """The four checks [R,T] from totals [R,8*T] of `Curves.rows`.

    NaN where no image counts; but the distractibility, one minus the share that is named, is then 1.
    """
    table = torch.from_numpy(sums).view(len(sums), 4, 2, len(THRESHOLDS))
    means = table[:, :, 0] / table[:, :, 1]
    means[:, 3] = 1 - means[:, 3].nan_to_num(0)
    controlled, preserved, deleted, distractibility = means.unbind(1)
    return controlled.numpy(), preserved.numpy(), deleted.numpy(), distractibility.numpy()


def completeness_curve(sums: Numbers) -> Numbers:
    """[R,T]: ((controlled check + preservation check + deletion check) / 3 + distractibility) / 2."""
    controlled, preserved, deleted, distractibility = check_means(sums)
    return ((controlled + preserved + deleted) / 3 + distractibility) / 2


def best_threshold(curve: Numbers) -> Numbers:
    """int64 [R]: the first threshold at which completeness [R,T] is largest."""
    return torch.from_numpy(curve).nan_to_num(-1).argmax(1).numpy()
