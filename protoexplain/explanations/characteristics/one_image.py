"""What each match of one image rests on: its local scores, and the sentence that they allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from protoexplain.explanations.characteristics.calibration import StrengthCalibration
from protoexplain.explanations.characteristics.local_scores import local_scores
from protoexplain.explanations.characteristics.match_characteristics import MatchCharacteristics
from protoexplain.explanations.characteristics.perturbations import RGB
from protoexplain.explanations.characteristics.variants import PUBLISHED
from protoexplain.explanations.characteristics.words import about_match, match_findings
from protoexplain.io.cache import DiskCache
from protoexplain.models.base import PrototypeModel

UNCALIBRATED: Final = (
    "These scores depend on how strong each change was, so that nothing is concluded from them; "
    "`protoexplain characteristics` calibrates the model."
)


def match_characteristics(
    model: PrototypeModel,
    rgb: RGB,
    size: int,
    prototypes: Sequence[int],
    calibration: StrengthCalibration | None,
    cache: DiskCache | None = None,
) -> dict[int, MatchCharacteristics]:
    """Characteristics of some prototypes' best places in one image, in one forward pass.

    Args:
        model: In eval mode.
        rgb: The cut image at native size, uint8 [H,W,3].
        size: Side of the network's input.
        prototypes: Their numbers.
        calibration: Of the model; None where it was not measured.
        cache: Of slow changes, see `variants.texture_cache`.
    """
    changes = (*PUBLISHED, *(calibration.changes() if calibration else ()))
    scores = local_scores(model, rgb, size, changes, cache)
    described = {}
    for prototype in prototypes:
        values = scores.scores[:, prototype].tolist()
        published, equal = (
            dict(zip(names, part, strict=True))
            for names, part in (
                (scores.names[: len(PUBLISHED)], values[: len(PUBLISHED)]),
                (scores.names[len(PUBLISHED) :], values[len(PUBLISHED) :]),
            )
        )
        if calibration is None:
            described[prototype] = MatchCharacteristics(published, None, UNCALIBRATED)
            continue
        findings = match_findings(equal, float(scores.activations[prototype]), calibration, prototype)
        calibrated = {one.name: one.score for one in findings} or None
        described[prototype] = MatchCharacteristics(published, calibrated, about_match(findings))
    return described
