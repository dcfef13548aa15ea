"""Changes made equally strong, and scores in units of what they do to unrelated prototypes."""

import pytest
import torch

from protoexplain.explanations.characteristics.calibration import (
    LADDER,
    StrengthCalibration,
    disturbance,
    equal_strength,
    ladder,
    related,
)
from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS

NAMES = list(MODIFICATIONS)


@pytest.mark.parametrize("name", NAMES)
def test_ladder_climbs_the_way_of_the_published_change(name):
    entry, rungs = MODIFICATIONS[name], ladder(name)
    distances = [abs(strength - entry.neutral) for strength in rungs.values()]
    assert distances == sorted(distances)
    assert all(entry.low <= strength <= entry.high for strength in rungs.values())
    ways = {(strength > entry.neutral) for strength in (*rungs.values(), entry.strength)}
    assert len(ways) == 1
    assert rungs[1.0] in (entry.low, entry.high)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("target", [0.1, 0.42, 0.9])
def test_equal_strength_on_a_straight_line(name, target):
    """Where the disturbance grows with the strength, the strength is the target's share of the way."""
    entry, end = MODIFICATIONS[name], ladder(name)[1.0]
    expected = entry.neutral + target * (end - entry.neutral)
    assert equal_strength(name, LADDER, target) == pytest.approx(expected, rel=0.06, abs=0.006)


def test_equal_strength_at_the_ends():
    assert equal_strength("shape", [0, 0, 0, 0, 0], 1.0) == 0.0, "a change that nothing answers to stays out"
    assert equal_strength("shape", [0.1, 0.2, 0.3, 0.4, 0.5], 2.0) == MODIFICATIONS["shape"].high
    assert equal_strength("shape", [0.2, 0.1, 0.3, 0.2, 0.6], 0.25) == pytest.approx(12 * 0.325), "past a dip"


def test_related_prototypes_weigh_more_for_the_class():
    weights = torch.tensor([[1.0, -0.5, 0.2], [-0.5, 1.0, 0.2], [-0.5, -0.5, 0.2]])
    assert related(weights, torch.tensor([0, 2, 1])).tolist() == [
        [True, False, False],
        [False, False, False],
        [False, True, False],
    ]


def test_disturbance_counts_unrelated_pairs_of_either_sign():
    scores = torch.tensor([[[1.0, -3.0], [0.0, 0.5]], [[-2.0, 100.0], [0.5, 100.0]]])
    unrelated = torch.tensor([[True, True], [True, False]])
    assert disturbance(scores, unrelated).tolist() == pytest.approx([2.0, 1 / 3])
    everything = disturbance(scores, torch.zeros(2, 2, dtype=torch.bool))
    assert everything.tolist() == pytest.approx([26.5, 25.25])


def test_scores_in_units_of_the_scale():
    calibration = StrengthCalibration({"hue": 0.2, "shape": 3.0}, {"hue": 0.5, "shape": 2.0}, (None,))
    scores = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    assert calibration.calibrated(scores).tolist() == [[2.0, 4.0], [1.5, -0.5]]
    assert calibration.calibrated(scores[None]).shape == (1, 2, 2)
    assert calibration.changes() == (("hue", 0.2), ("shape", 3.0))
