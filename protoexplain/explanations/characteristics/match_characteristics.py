"""What one match rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class MatchCharacteristics:
    """What changing one characteristic of the image takes from a similarity.

    Args:
        published: Characteristic -> local score with the changes of Nauta et al. 2020, in the unit of the similarity;
            negative where the match is better without.
        calibrated: Characteristic -> score with changes of equal strength, in multiples of the average disturbance of
            unrelated prototypes; None where the model or the prototype was not calibrated.
        sentence: What the calibrated scores allow to say.
    """

    published: Mapping[str, float]
    calibrated: Mapping[str, float] | None
    sentence: str
