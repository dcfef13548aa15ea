"""From the local scores of many images to one score for each prototype, with an interval.

Nauta et al. 2020: the global score is the mean of the local scores over all images of a split, weighted by the
original activations.  Intervals come from drawing the images again with replacement (bootstrap), with percentiles
widened for small samples (Hesterberg 2015, "What teachers should know about the bootstrap", section 4.1.1): plain ones
hold the truth too rarely.  N images, M characteristics, P prototypes.
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
LEAST_IMAGES: Final = 5
"""With fewer, the truth lies too often outside of all that was seen."""
Number = float | None

_DIGITS: Final = 5
_BLOCK: Final = 1 << 23
"""Numbers of resampled sums that are held at a time."""


@dataclass(frozen=True)
class Estimates:
    """One number and its interval for each prototype and characteristic, [P,M]; NaN where too few images count."""

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
    counts = _draws(count, resamples, seed)
    tails = _tails(weights.double(), (1 - confidence) / (2 * characteristics))
    value, low, high = torch.empty(3, prototypes, characteristics, dtype=torch.float64)
    step = max(1, _BLOCK // (resamples * (characteristics + 1)))
    for start in range(0, prototypes, step):
        block = slice(start, start + step)
        score, weight = scores[:, :, block].double(), weights[:, block].double()
        value[block] = weighted_mean(score, weight)
        sums = (counts @ (score * weight[:, None]).flatten(1)).unflatten(1, (characteristics, -1))
        means = _ratio(sums, (counts @ weight)[:, None])
        ordered = means.sort(0).values
        low[block], high[block] = _at(ordered, tails[block]).T, _at(ordered, 1 - tails[block]).T
    few = tails.isnan()[:, None]
    return Estimates(*(part.masked_fill(few, torch.nan) for part in (value, low, high)))


def _tails(weights: Tensor, tail: float) -> Tensor:
    """[P]: percentiles of resampled means that cut off `tail` as Student's t does; NaN below `LEAST_IMAGES`.

    The number of images for t is the effective one, (sum w)^2 / sum w^2.
    """
    from scipy import stats

    effective = (weights.sum(0).square() / weights.square().sum(0)).clamp_min(1.5).numpy()
    reach = stats.t.ppf(1 - tail, effective - 1) * np.sqrt(effective / (effective - 1))
    enough = (weights != 0).sum(0).numpy() >= LEAST_IMAGES
    return torch.from_numpy(np.where(enough, stats.norm.sf(reach), np.nan))


def _at(ordered: Tensor, share: Tensor) -> Tensor:
    """Percentiles [M,P] of ordered means [R,M,P], for each prototype its own; means that are no numbers come last."""
    place = (share * (ordered.isfinite().sum(0) - 1).clamp_min(0)).nan_to_num()
    below = place.floor().long()
    above = place.ceil().long()
    first, second = (ordered.gather(0, index[None])[0] for index in (below, above))
    return torch.lerp(first, second, place - below)


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
