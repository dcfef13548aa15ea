"""The table of characteristics in a checkpoint's metrics."""

import json

import pytest

from protoexplain.errors import UserError
from protoexplain.explain.calibration import Calibration
from protoexplain.explain.characteristics import METRIC, Characteristics, Table

NAMES = ("hue", "shape")


def characteristics(value=((2.0, 0.1), (None, None)), width=0.2, **changes):
    """Two prototypes, two characteristics; intervals `width` to both sides."""

    def shifted(by):
        return tuple(tuple(None if one is None else one + by for one in row) for row in value)

    table = Table(shifted(0), shifted(-width), shifted(width))
    known = {
        "split": "train",
        "fingerprint": "abc",
        "images": 12,
        "names": NAMES,
        "calibration": Calibration({"hue": 0.3, "shape": 5.0}, {"hue": 0.5, "shape": 0.4}, (0.1,) * len(value)),
        "published": table,
        "calibrated": table,
        "activation": (4.0,) * len(value),
        "matched_images": (6,) * len(value),
        "confidence": 0.95,
        "resamples": 2000,
    }
    return Characteristics(**{**known, **changes})


def stored(found):
    """As it comes back from metrics.json."""
    return json.loads(json.dumps(found.to_metrics(), allow_nan=False))


def test_round_trip():
    found = characteristics()
    assert Characteristics.from_metrics(stored(found)) == found
    assert Characteristics.from_metrics(stored(found), "test") is None
    assert Characteristics.from_metrics({}) is None
    other = characteristics(split="test", images=3)
    both = {METRIC: {**stored(found)[METRIC], **stored(other)[METRIC]}}
    assert Characteristics.from_metrics(both, "test") == other


def damage(change):
    metrics = stored(characteristics())
    change(metrics[METRIC]["train"])
    return metrics


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.pop("names"),
        lambda table: table.update(images="many"),
        lambda table: table.update(extra=1),
        lambda table: table["calibrated"]["low"].pop(),
        lambda table: table["published"]["value"][0].append(1.0),
        lambda table: table["calibration"]["noise"].pop(),
        lambda table: table["calibration"]["scale"].pop("hue"),
        lambda table: table.update(activation=[1.0]),
    ],
)
def test_damage_is_told(change):
    with pytest.raises(UserError, match="characteristics"):
        Characteristics.from_metrics(damage(change))


def test_not_a_table():
    for table in (3, [], {"train": 3}):
        with pytest.raises(UserError, match="damaged"):
            Characteristics.from_metrics({METRIC: table})
