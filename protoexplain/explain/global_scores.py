"""From the local scores of many images to one score for each prototype, with an interval.

Nauta et al. 2020: the global score is the mean of the local scores over all images of a split, weighted by the
original activations.  Intervals come from drawing the images again with replacement (bootstrap percentiles).
N images, M characteristics, P prototypes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

RESAMPLES: Final = 2000
CONFIDENCE: Final = 0.95
Number = float | None

_DIGITS: Final = 5
_BLOCK: Final = 1 << 23
"""Numbers of resampled sums that are held at a time."""


@dataclass(frozen=True)
class Estimates:
    """One number and its interval for each prototype and characteristic, [P,M]; NaN where nothing was measured."""

    value: Tensor
    low: Tensor
    high: Tensor


def weighted_mean(scores: Tensor, weights: Tensor) -> Tensor:
    """Global scores: sum over images of score * weight / sum of weights.

    Args:
        scores: [N,M,P].
        weights: [N,P]; published: the activations of the unchanged images, whatever their sign.

    Returns:
        [P,M]; NaN for prototypes without weight.
    """
    return _ratio(torch.einsum("nmp,np->pm", scores, weights), weights.sum(0)[:, None])


def estimate(
    scores: Tensor,
    weights: Tensor,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimates:
    """Weighted means with bootstrap intervals, all prototypes at once.

    Args:
        scores: [N,M,P].
        weights: [N,P].
        confidence: That all M intervals of one prototype hold together (Bonferroni).
        resamples: Draws of N images with replacement.
        seed: Of the draws.
    """
    count, characteristics, prototypes = scores.shape
    value = weighted_mean(scores.double(), weights.double())
    counts = _draws(count, resamples, seed)
    tail = (1 - confidence) / (2 * characteristics)
    low, high = torch.empty_like(value), torch.empty_like(value)
    step = max(1, _BLOCK // (resamples * (characteristics + 1)))
    for start in range(0, prototypes, step):
        block = slice(start, start + step)
        weight = weights[:, block].double()
        products = (scores[:, :, block].double() * weight[:, None]).flatten(1)
        sums = (counts @ products).unflatten(1, (characteristics, -1))
        means = _ratio(sums, (counts @ weight)[:, None])
        low[block], high[block] = means.nanquantile(means.new_tensor([tail, 1 - tail]), dim=0).transpose(1, 2)
    return Estimates(value, low, high)


def _draws(count: int, resamples: int, seed: int) -> Tensor:
    """[R,N]: how often each image is drawn."""
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return torch.from_numpy(draws).double()


def _ratio(sums: Tensor, weights: Tensor) -> Tensor:
    return torch.where(weights != 0, sums / weights, torch.nan)


def known(value: float) -> Number:
    """For JSON: five significant digits, None for what is no number."""
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
