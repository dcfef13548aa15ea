"""Changes that are equally strong, so that the scores of different characteristics can be compared.

Published scores depend on how strong each change was chosen, so their order is also the order of the strengths.  Here
the strength of each change is set so that it disturbs prototypes that have nothing to do with an image as much as the
strongest published change does; what remains of the differences is divided out.  A calibrated score of 1 is the
average disturbance of unrelated prototypes.  N images, M characteristics, P prototypes, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from protoexplain.explanations.characteristics.global_scores import Number
from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS

LADDER: Final = (0.15, 0.3, 0.5, 0.75, 1.0)
"""Tried strengths, as shares of the way from no change to the largest sensible one."""


@dataclass(frozen=True)
class StrengthCalibration:
    """What makes local scores comparable.

    Args:
        strengths: Characteristic -> strength of its change.
        scale: Characteristic -> mean change of the activations of unrelated prototypes at that strength.
        noise: [P] root mean square change of each prototype's activation when the image moves by a pixel, None
            where it was not measured.
    """

    strengths: Mapping[str, float]
    scale: Mapping[str, float]
    noise: tuple[Number, ...]

    def changes(self) -> tuple[tuple[str, float], ...]:
        """Names and strengths, as `variants` takes them."""
        return tuple(self.strengths.items())

    def calibrated(self, scores: Tensor) -> Tensor:
        """Local scores [...,M,P] that were taken at `strengths` -> multiples of the average disturbance."""
        scale = scores.new_tensor([self.scale[name] for name in self.strengths])
        return scores / scale[:, None]


def related(class_weights: Tensor, labels: Tensor) -> Tensor:
    """[N,P]: whether a prototype counts more for the class of an image than for classes on average.

    Args:
        class_weights: [C,P] change of the class scores per unit of activation.
        labels: [N].
    """
    weights = class_weights.detach()
    return (weights > weights.mean(0))[labels]


def disturbance(scores: Tensor, unrelated: Tensor) -> Tensor:
    """[M]: mean absolute score over the pairs [N,P] of image and prototype that have nothing to do with each other.

    Args:
        scores: [N,M,P].
        unrelated: [N,P]; all pairs count where none is marked.
    """
    mask = unrelated if bool(unrelated.any()) else torch.ones_like(unrelated)
    return scores.abs().double().transpose(0, 1)[:, mask].mean(1)


def ladder(name: str) -> dict[float, float]:
    """Share of the way -> strength, in the direction of the published change."""
    modification = MODIFICATIONS[name]
    end = modification.low if modification.strength < modification.neutral else modification.high
    return {share: modification.neutral + share * (end - modification.neutral) for share in LADDER}


def equal_strength(name: str, disturbances: Sequence[float], target: float) -> float:
    """The strength that disturbs unrelated prototypes by `target`, to two digits.

    Args:
        name: Of the characteristic.
        disturbances: At the strengths of the ladder; between them a straight line is assumed.
        target: Where it is beyond reach, the strongest change of the ladder is taken.
    """
    modification = MODIFICATIONS[name]
    reached = np.maximum.accumulate([0.0, *disturbances])
    rising = np.concatenate([[True], np.diff(reached) > 0])
    share = float(np.interp(target, reached[rising], np.array([0.0, *LADDER])[rising]))
    end = ladder(name)[LADDER[-1]]
    return _rounded(modification.neutral + share * (end - modification.neutral))


def _rounded(value: float, digits: int = 2) -> float:
    if value == 0:
        return 0.0
    return round(value, digits - 1 - math.floor(math.log10(abs(value))))
