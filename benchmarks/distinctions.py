"""What tells one class from another in an image: which attribute of the place where the evidence lies.

A prototype's similarity answers to everything about its patch.  The difference of two class scores answers only to
what separates the classes; what the change of an attribute in one place takes away from it, that attribute of that
place contributed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks.changes_in_place import Mask, in_place
from protoexplain.data.augmentation import resized
from protoexplain.explanations.characteristics.perturbations import RGB
from protoexplain.models.base import PrototypeModel
from protoexplain.regions.map_sizes import by_size

Changes = Callable[[RGB, Mask], Mapping[str, tuple[RGB, ...]]]
"""Image and place -> characteristic -> one or more changed images."""
EVIDENCE_SHARE = 0.8
"""Share of the evidence for a class against another that its place has to hold."""


@dataclass(frozen=True)
class Distinction:
    """What separates two classes in one image.

    Args:
        margin: Score of the class minus that of the other.
        drops: Characteristic -> what the more harmful of its changes takes away from the margin.
        unrelated: Characteristic -> mean absolute drop of the margins to all further classes.
    """

    margin: float
    drops: Mapping[str, float]
    unrelated: Mapping[str, float]


@torch.inference_mode()
def distinguish(
    model: PrototypeModel, rgb: RGB, size: int, mask: Mask, label: int, other: int, changes: Changes = in_place
) -> Distinction:
    """Change each attribute of a place and see what becomes of the difference of two class scores.

    Args:
        model: In eval mode.
        rgb: The cut image at native size, uint8 [H,W,3].
        size: Side of the network's input.
        mask: [H,W], True in the place; see `place_of`.
        label: The class.
        other: The one that it is told from.
        changes: Of a place.
    """
    changed = changes(rgb, mask)
    pictures = [rgb, *(picture for versions in changed.values() for picture in versions)]
    scores = model(_batch(pictures, size).to(next(model.parameters()).device)).logits.cpu()
    margins = scores[:, [label]] - scores
    drops = margins[0] - margins[1:]
    further = [k for k in range(model.classes) if k not in (label, other)]
    own, unrelated, start = {}, {}, 0
    for name, versions in changed.items():
        worst = drops[start : start + len(versions)].amax(0)
        own[name] = float(worst[other])
        unrelated[name] = float(worst[further].abs().mean())
        start += len(versions)
    return Distinction(float(margins[0, other]), own, unrelated)


def calibrated(found: Sequence[Distinction], unrelated: Sequence[Distinction] = ()) -> dict[str, float]:
    """Characteristic -> mean drop over images, in multiples of the mean drop of margins to further classes.

    Args:
        found: Of the images that are asked about.
        unrelated: Of more images, for the unit; those of `found` count too.
    """
    every = [*found, *unrelated]
    return {
        name: float(np.mean([one.drops[name] for one in found]) / np.mean([one.unrelated[name] for one in every]))
        for name in found[0].drops
    }


@torch.inference_mode()
def place_of(model: PrototypeModel, rgb: RGB, size: int, label: int, other: int) -> Mask:
    """Where the evidence for a class against another lies: the peaks that hold most of it, and the cells around them.

    Returns:
        [H,W], True in the place.
    """
    features = model.backbone(_batch([rgb], size).to(next(model.parameters()).device))
    stacks = by_size([each for maps in model.activation_maps(features) for each in maps[0]])
    weights = model.class_weights()
    held = torch.cat([_held((weights[label] - weights[other])[places], maps) for places, maps in stacks])
    ranked, order = held.sort(descending=True)
    enough = int((ranked.cumsum(0) < EVIDENCE_SHARE * ranked.sum()).sum()) + 1
    chosen = torch.zeros_like(held).index_fill_(0, order[:enough], 1)
    parts = chosen.split([maps[0].numel() for _, maps in stacks])
    places = [_wide(part.view(maps.shape[1:]), rgb) for part, (_, maps) in zip(parts, stacks, strict=True)]
    return np.logical_or.reduce(places)


def _held(weights: Tensor, maps: Tensor) -> Tensor:
    """The evidence that lies in each cell [H*W], by the best cells of maps [n,H,W] with weights [n]."""
    best, cells = maps.flatten(1).max(1)
    return torch.zeros(maps[0].numel(), device=maps.device).index_add_(0, cells, (weights * best).clamp_min(0))


def _wide(cells: Tensor, rgb: RGB) -> Mask:
    """Where cells [H,W] that are 1, and those around them, lie in an image."""
    wide = cv2.dilate(cells.cpu().numpy().astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.asarray(cv2.resize(wide, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_NEAREST) > 0)


def _batch(pictures: Sequence[RGB], size: int) -> Tensor:
    stacked = np.stack([resized(picture, size).rgb for picture in pictures])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float().div_(255)
