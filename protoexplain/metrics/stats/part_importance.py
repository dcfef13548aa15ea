"""From a prototype's evidence to the parts of an image: how much an explanation attributes to each, and which it names.

Heat says how much of the evidence for a class lies on each pixel; the importance of an item is the sum of the heat on
it, over its sides (Hesse et al. 2023).  The rules of published programs for prototypes are here too, faults and all.
k classes, P prototypes, S the side of the input, Z masks of I items, T thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from protoexplain.data.geometry import Box
from protoexplain.data.interventions import PartMasks
from protoexplain.metrics.stats.part_protocol import THRESHOLDS, named_items
from protoexplain.regions.boxes import high_activation_boxes, upsample
from protoexplain.regions.map_sizes import by_size


@dataclass(frozen=True)
class NamedItems:
    """What an explanation says of the items of an image, for k classes.

    Args:
        importance: float64 [k,I].
        named: bool [k,T,I] at each threshold.
    """

    importance: Tensor
    named: Tensor


def spread_over_maps(maps: Sequence[Tensor], evidence: Tensor, size: int) -> Tensor:
    """Heat [k,S,S]: each prototype's evidence in proportion to its map above the map's least cell.

    The heat of a prototype adds up to its evidence; where its map is constant, it lies everywhere alike.

    Args:
        maps: P activation maps [h,w], of any sizes.
        evidence: [P,k].
        size: Side S.
    """
    total = torch.zeros(evidence.shape[1], size, size, dtype=torch.float64)
    for places, stack in by_size(maps):
        above = (stack - stack.amin((1, 2), keepdim=True)).double()
        above[above.amax((1, 2)) == 0] = 1
        mass = (above * _pixel_mass(*stack.shape[1:], size)).sum((1, 2))
        cells = torch.einsum("pk,phw->khw", evidence[places].double() / mass[:, None], above)
        total += upsample(cells, size, size)
    return total


@lru_cache(maxsize=16)
def _pixel_mass(height: int, width: int, size: int) -> Tensor:
    """float64 [h,w]: the sum over the pixels of what a cell adds to each when a map is upsampled."""
    alone = torch.eye(height * width, dtype=torch.float64).view(-1, height, width)
    return upsample(alone, size, size).sum((1, 2)).view(height, width)


def spread_over_boxes(boxes: Sequence[Box], evidence: Tensor, size: int) -> Tensor:
    """Heat [k,S,S]: each prototype's evidence evenly over its box; arguments as for `spread_over_maps`."""
    total = torch.zeros(evidence.shape[1], size, size, dtype=torch.float64)
    for box, amount in zip(boxes, evidence.double(), strict=True):
        rows, columns = slice(int(box.y0), int(box.y1)), slice(int(box.x0), int(box.x1))
        area = total[0, rows, columns].numel()
        if area:
            total[:, rows, columns] += amount[:, None, None] / area
    return total


def items_of_heat(heat: Tensor, masks: PartMasks, count: int, published: bool = False) -> NamedItems:
    """Importance of the items as the sum of heat [k,S,S] on them, and those named with more than a share of all of it.

    Args:
        heat: May be negative.
        masks: Of the items.
        count: Number I.
        published: See `named_items`.
    """
    importance = _summed(heat.double(), masks.dilated, masks, count)
    return NamedItems(importance, named_items(importance, heat.double().sum((1, 2)), published))


def _summed(heat: Tensor, where: object, masks: PartMasks, count: int) -> Tensor:
    """float64 [k,I] sums of heat [k,S,S] over the masks `where`."""
    sums = torch.einsum("khw,zhw->kz", heat, torch.as_tensor(where).to(heat))
    return heat.new_zeros(len(heat), count).index_add_(1, torch.from_numpy(masks.items), sums)


# ---------------------------------------------------------------------- published rules for prototypes of a class


def complete_repository(maps: Tensor, weights: Tensor, masks: PartMasks, count: int) -> NamedItems:
    """The ProtoPNet wrapper of the complete FunnyBirds repository: boxes alone.

    Importance sums similarity times weight over the boxes of the class's prototypes, three times for the channels of a
    picture; an item is named where the boxes cover more than t / 3 of one of its sides.  A box lacks the last row and
    column of the pixels in the top 5 %.

    Args:
        maps: [p,h,w] similarity of the prototypes of one class.
        weights: [p] of the last layer for the class.
        masks: Of the items.
        count: Number I.
    """
    size = masks.plain.shape[1]
    boxes = high_activation_boxes(upsample(maps, size, size))
    covered = torch.stack([_filled(box, size, 1) for box in boxes]).double()
    heat = torch.einsum("p,phw->hw", weights.double() * maps.double().amax((1, 2)), covered)[None]
    importance = 3 * _summed(heat, masks.plain, masks, count)
    shares = 3 * _coverage(covered.amax(0), torch.from_numpy(masks.plain))
    levels = torch.tensor(THRESHOLDS, dtype=torch.float64)[:, None]
    named = torch.zeros(len(THRESHOLDS), count, dtype=torch.long).index_add_(
        1, torch.from_numpy(masks.items), (shares > levels).long()
    )
    return NamedItems(importance, named[None] > 0)


def summed_maps(maps: Tensor, weights: Tensor, size: int) -> Tensor:
    """Heat [1,S,S] of FunnyBirds Revisited: whole similarity maps times the weights of the last layer."""
    return upsample(torch.einsum("p,phw->hw", weights.double(), maps.double()), size, size)[None]


def summed_similarity_maps(maps: Tensor, weights: Tensor, masks: PartMasks, count: int) -> NamedItems:
    """``SSM`` of FunnyBirds Revisited: importance from `summed_maps`, but items are named by the boxes.

    An item is named where the boxes of the top 5 % cover more than t of its second side; a side that does not show
    counts as not covered.  Arguments as for `complete_repository`.
    """
    size = masks.plain.shape[1]
    importance = _summed(summed_maps(maps, weights, size), masks.dilated, masks, count)
    boxes = high_activation_boxes(upsample(maps, size, size))
    covered = torch.stack([_filled(box, size, 0) for box in boxes]).double().amax(0)
    shares = _coverage(covered, torch.from_numpy(masks.dilated))
    levels = torch.tensor(THRESHOLDS, dtype=torch.float64)[:, None]
    last = {item: mask for mask, item in enumerate(masks.items.tolist())}
    named = torch.zeros(len(THRESHOLDS), count, dtype=torch.bool)
    named[:, list(last)] = shares[list(last.values())] > levels
    return NamedItems(importance, named[None])


def without_least_active(maps: Tensor) -> Tensor:
    """int64 [P-1]: the prototypes that FunnyBirds Revisited counts, all but that of the lowest peak in maps [P,h,w]."""
    kept = torch.ones(len(maps), dtype=torch.bool)
    kept[maps.amax((1, 2)).argmin()] = False
    return kept.nonzero()[:, 0]


def nearest_maps(maps: Tensor, importance: Tensor, size: int) -> Tensor:
    """Heat [k,S,S] of ProtoS-ViT: maps upsampled by nearest cells, scaled to a sum of 1, times the importance [P,k].

    A map of zeros, which has no such scale, lies everywhere alike.
    """
    pixels = F.interpolate(maps[None].double(), (size, size), mode="nearest")[0]
    pixels[pixels.sum((1, 2)) == 0] = 1
    pixels = pixels / pixels.sum((1, 2), keepdim=True)
    return torch.einsum("pk,phw->khw", importance.double(), pixels)


def _filled(box: Box, size: int, cut: int) -> Tensor:
    """bool [S,S]: the pixels of a box, without so many of its last rows and columns."""
    filled = torch.zeros(size, size, dtype=torch.bool)
    filled[int(box.y0) : int(box.y1) - cut, int(box.x0) : int(box.x1) - cut] = True
    return filled


def _coverage(covered: Tensor, masks: Tensor) -> Tensor:
    """float64 [Z]: the share of each mask [Z,S,S] that is covered [S,S]; NaN for an empty one."""
    return (masks * covered).sum((1, 2)) / masks.sum((1, 2))
