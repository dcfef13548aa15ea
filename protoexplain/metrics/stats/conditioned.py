"""Consistency and stability over the images in which a prototype is active, whatever their class.

For prototypes that classes share.  With all images of a prototype's class active and parts that count from one image
on, these are the published scores of Huang et al. 2023.  N images, P prototypes, T parts.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

Activity = Literal["relative", "absolute", "topk"]
LEAST_IMAGES = 2
"""Images that have to show a part while a prototype is active, for the part to count."""


def active_images(activations: Tensor, rule: Activity, level: float) -> Tensor:
    """bool [N,P]: in which images prototypes are active.

    Args:
        activations: [N,P].
        rule: ``relative``: at least `level` times the largest activation, and above 0; ``absolute``: above `level`;
            ``topk``: the `level` largest, the first ones of equal.
        level: Of the rule.
    """
    if rule == "absolute":
        return activations > level
    if rule == "relative":
        return (activations >= level * activations.amax(0)) & (activations > 0)
    chosen = activations.argsort(dim=0, descending=True, stable=True)[: int(level)]
    return torch.zeros_like(activations, dtype=torch.bool).scatter_(0, chosen, True)


def still_active(before: Tensor, after: Tensor, active: Tensor, rule: Activity, level: float) -> Tensor:
    """bool [N,P]: which active images would be active with other activations, at the same thresholds."""
    if rule == "absolute":
        return active & (after > level)
    if rule == "relative":
        return active & (after >= level * before.amax(0)) & (after > 0)
    least = before.masked_fill(~active, torch.inf).amin(0)
    return active & (after >= least)


def part_counts(active: Tensor, visible: Tensor, hits: Tensor) -> tuple[Tensor, Tensor]:
    """int64 [P,T] each: active images that show each part, and those in which it is hit.

    Args:
        active: bool [N,P].
        visible: bool [N,T].
        hits: bool [N,P,T].
    """
    shown = active[:, :, None] & visible[:, None]
    return shown.sum(0), (shown & hits).sum(0)


def consistent(shown: Tensor, hit: Tensor, threshold: float, least: int = LEAST_IMAGES) -> Tensor:
    """float64 [P]: 1 where a part that counts is hit in that share of the images, else 0; NaN without such a part."""
    share, counts = Fraction(repr(threshold)), shown >= least
    reached = (share.denominator * hit >= share.numerator * shown) & counts
    return reached.any(1).double().masked_fill(~counts.any(1), torch.nan)


def mean_over_active(values: Tensor, active: Tensor) -> Tensor:
    """float64 [P]: the mean of values bool [N,P] over active images; NaN without any."""
    count = active.sum(0)
    return ((values & active).sum(0).double() / count.clamp_min(1)).masked_fill(count == 0, torch.nan)
