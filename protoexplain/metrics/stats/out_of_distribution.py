"""Foreign images told apart from known ones by how familiar they look to a model.

Published thresholds are on the best class score (Nauta et al. 2023, PIP-Net).  Class scores of known images [N,C] and
of foreign ones [M,C].
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

_LOOSER = 1e-3


def area_under_roc(known: Tensor, foreign: Tensor) -> tuple[float, float]:
    """How often a known image is more familiar than a foreign one, half of the ties counted; and its deviation.

    Args:
        known: [N] familiarity.
        foreign: [M].

    Returns:
        The area under the receiver operating characteristic, and its standard deviation over other images of both
        kinds (DeLong et al. 1988), NaN for fewer than two of a kind.
    """

    def below(values: Tensor, others: Tensor) -> Tensor:
        """For each value the share of the others below it."""
        ordered = others.sort().values
        counts = torch.searchsorted(ordered, values) + torch.searchsorted(ordered, values, right=True)
        return counts.double() / (2 * len(others))

    above_foreign, above_known = below(known, foreign), below(foreign, known)
    area = float(above_foreign.mean())
    if min(len(known), len(foreign)) < 2:
        return area, math.nan
    return area, math.sqrt(float(above_foreign.var() / len(known) + above_known.var() / len(foreign)))


def abstained(scores: Tensor) -> Tensor:
    """bool [N]: the largest class score is exactly 0."""
    return scores.amax(1) == 0


def overall_threshold(scores: Tensor, passing: float = 0.95) -> float:
    """The largest score that a share of (1 - passing) of the known images does not reach (linear interpolation)."""
    return float(np.quantile(scores.amax(1).double().numpy(), 1 - passing))


def class_thresholds(scores: Tensor, passing: float = 0.95) -> Tensor:
    """float64 [C]: the same among the images predicted as each class, then looser by 0.1 % until enough pass.

    A class that is never predicted gets the mean threshold.  Where best scores are not all positive, as published
    ones are, a percentage of them means nothing; they are then counted from 1 below the least one.
    """
    best, predicted = scores.double().max(1)
    origin = float(best.min()) - 1 if float(best.min()) <= 0 else 0.0
    best = best - origin
    thresholds = torch.full((scores.shape[1],), torch.nan, dtype=torch.float64)
    for label in predicted.unique().tolist():
        thresholds[label] = float(np.quantile(best[predicted == label].numpy(), 1 - passing))
    thresholds = torch.where(thresholds.isnan(), thresholds.nanmean(), thresholds)
    if float((best > thresholds[predicted]).double().mean()) < passing:
        while float((best >= thresholds[predicted]).double().mean()) < passing:
            thresholds = (1 - _LOOSER) * thresholds
    return thresholds + origin


def accepted(scores: Tensor, thresholds: Tensor) -> Tensor:
    """bool [M]: the largest class score reaches the threshold of its class."""
    best, predicted = scores.double().max(1)
    return best >= thresholds[predicted]
