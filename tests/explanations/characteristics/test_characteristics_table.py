"""The table of characteristics in a checkpoint's metrics."""

import json

import pytest
from measured import characteristics

from protoexplain.errors import UserError
from protoexplain.explanations.characteristics.table import METRIC, Characteristics


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
