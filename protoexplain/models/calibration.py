"""What held-out images tell about the class scores of a trained model: how sure it may be, and what it does not know.

One temperature by which class scores are divided before they become probabilities (Guo et al. 2017, "On Calibration of
Modern Neural Networks"); it changes no ranking.  And thresholds below which an image resembles nothing that was
learned (out-of-distribution detection).  N images, C classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from protoexplain.models.contract import ScoreUnit

PASSING = 0.95
"""Share of the held-out images that count as familiar."""
_WIDEST, _STEPS = 100.0, 400
_PRIOR = 1.0
"""Standard deviation of log T before any image was seen: few images move the temperature little."""
_ROUNDING = 1e-9
_LEAST = -1e4
"""Logarithm of a probability that was rounded to nothing."""
_BORROWED = 8.0
"""The usual familiarity of a class counts as much as so many of its images."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Found on images that the model was not trained on.

    Args:
        temperature: Logits are divided by it, and so are logarithms of scores that lie between 0 and 1.
        familiar: float64 [C] least familiarity of an image that is taken for each class.
        images: Number of held-out images N.
    """

    temperature: float
    familiar: Tensor
    images: int

    def tempered(self, probabilities: Tensor) -> Tensor:
        """Probabilities [B,C] at the temperature, which add to one; with 1 they stay as they are."""
        if self.temperature == 1:
            return probabilities
        return (probabilities.log().clamp_min(_LEAST) / self.temperature).softmax(1)

    def is_familiar(self, logits: Tensor) -> Tensor:
        """bool [B]: whether class scores [B,C] are those of something that the model knows."""
        return familiarity(logits) >= self.familiar.to(logits.device)[logits.argmax(1)]


def calibrate(scores: Tensor, labels: Tensor, unit: ScoreUnit) -> Calibration | None:
    """Fit the temperature and the thresholds.

    Args:
        scores: [N,C] of held-out images.
        labels: [N].
        unit: Of the scores.

    Returns:
        None without images.
    """
    if not len(scores):
        return None
    temperature = fit_temperature(unit.probabilities(scores).log(), labels)
    return Calibration(temperature, familiar_from(scores), len(scores))


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The most probable temperature in [1/100, 100] of class scores [N,C] with known labels [N].

    The negative log likelihood of scores / T, with log T normally distributed around 0 beforehand, is convex in 1 / T
    but for the small prior; the best of a fine grid is taken.
    """
    exact = logits.detach().double().cpu().clamp_min(_LEAST)
    log_t = torch.linspace(-math.log(_WIDEST), math.log(_WIDEST), _STEPS + 1, dtype=torch.float64)
    costs = [
        float(F.cross_entropy(exact / math.exp(t), labels.cpu(), reduction="sum")) + (t / _PRIOR) ** 2 / 2
        for t in log_t.tolist()
    ]
    return math.exp(log_t[costs.index(min(costs))])


def familiarity(scores: Tensor) -> Tensor:
    """float64 [N]: how far the best of class scores [N,C] lies above the mean over the classes.

    What an image adds to all scores alike speaks for no class.  With weights below zero, as ProtoPNet has them, it can
    be all there is: where no prototype is found, every score is higher than in a known image.
    """
    exact = scores.double()
    return exact.amax(1) - exact.mean(1)


def threshold_of(familiar: Tensor, passing: float = PASSING) -> float:
    """The largest threshold that at least a share of the known images reaches.

    Args:
        familiar: [N] of images that the model did not learn from, such as held-out ones; at least one.
        passing: The share, in (0, 1].

    Raises:
        ValueError: No image, or no such share.
    """
    if not len(familiar) or not 0 < passing <= 1:
        raise ValueError(f"no threshold that {passing} of {len(familiar)} images reach")
    return float(familiar.sort(descending=True).values[math.ceil(passing * len(familiar) - 1e-9) - 1])


def familiar_from(logits: Tensor) -> Tensor:
    """float64 [C]: thresholds by class, which most of the held-out images with scores [N,C] reach together.

    Images taken for one class can be more familiar than those of another.  Each class has the usual familiarity of its
    images, drawn towards that of all the fewer they are, and all thresholds lie equally far below.
    """
    known, taken = familiarity(logits.cpu()), logits.cpu().argmax(1)
    counts = taken.bincount(minlength=logits.shape[1])
    sums = torch.zeros(logits.shape[1], dtype=torch.float64).index_add_(0, taken, known)
    usual = (sums + _BORROWED * known.mean()) / (counts + _BORROWED)
    return usual + threshold_of(known - usual[taken]) - _ROUNDING
