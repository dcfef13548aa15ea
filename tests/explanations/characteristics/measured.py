"""Global characteristics of two or more prototypes, made up."""

from protoexplain.explanations.characteristics.calibration import StrengthCalibration
from protoexplain.explanations.characteristics.table import Characteristics, ScoreTable

NAMES = ("hue", "shape")


def characteristics(value=((2.0, 0.1), (None, None)), width=0.2, **changes):
    """Two prototypes, two characteristics; intervals `width` to both sides."""

    def shifted(by):
        return tuple(tuple(None if one is None else one + by for one in row) for row in value)

    table = ScoreTable(shifted(0), shifted(-width), shifted(width))
    known = {
        "split": "train",
        "fingerprint": "abc",
        "images": 12,
        "names": NAMES,
        "calibration": StrengthCalibration({"hue": 0.3, "shape": 5.0}, {"hue": 0.5, "shape": 0.4}, (0.1,) * len(value)),
        "published": table,
        "calibrated": table,
        "activation": (4.0,) * len(value),
        "matched_images": (6,) * len(value),
        "confidence": 0.95,
        "resamples": 2000,
    }
    return Characteristics(**{**known, **changes})
