"""What a match rests on: the scores of one pass, and no claim without calibration."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_runs import tiny_config, tiny_model

from protoexplain.explanations.characteristics.calibration import StrengthCalibration
from protoexplain.explanations.characteristics.local_scores import local_scores
from protoexplain.explanations.characteristics.one_image import UNCALIBRATED, match_characteristics
from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS
from protoexplain.explanations.characteristics.variants import PUBLISHED
from protoexplain.models.registry import family_names

SIZE = 64
STRONGER = {name: (entry.strength + entry.neutral) / 2 for name, entry in MODIFICATIONS.items()}


@pytest.fixture(params=family_names(), scope="module")
def model(request):
    return tiny_model(tiny_config(request.param))


@pytest.fixture(scope="module")
def rgb():
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def calibration(model, noise=1e-9, scale=0.01):
    return StrengthCalibration(STRONGER, dict.fromkeys(MODIFICATIONS, scale), (noise,) * model.num_prototypes)


def test_published_scores_without_a_claim(model, rgb):
    told = match_characteristics(model, rgb, SIZE, [2, 0], None)
    expected = local_scores(model, rgb, SIZE)
    assert list(told) == [2, 0]
    for prototype, one in told.items():
        assert one.published == pytest.approx(expected.of(prototype))
        assert (one.calibrated, one.sentence) == (None, UNCALIBRATED)


def test_calibrated_scores_are_in_units_of_the_scale(model, rgb):
    told = match_characteristics(model, rgb, SIZE, [1], calibration(model))[1]
    expected = local_scores(model, rgb, SIZE, tuple(STRONGER.items()))
    torch.testing.assert_close(
        torch.tensor([told.calibrated[name] for name in STRONGER]), expected.scores[:, 1] / 0.01, rtol=1e-3, atol=1e-3
    )
    assert list(told.published) == [name for name, _ in PUBLISHED]
    assert list(told.calibrated.values()) == sorted(told.calibrated.values(), reverse=True)


def test_noise_keeps_the_sentence_open(model, rgb):
    unsure = match_characteristics(model, rgb, SIZE, [1], calibration(model, noise=1e6))[1]
    assert "stays open" in unsure.sentence
    unknown = replace(calibration(model), noise=(None,) * model.num_prototypes)
    never = match_characteristics(model, rgb, SIZE, [1], unknown)[1]
    assert never.calibrated is None
    assert "not measured" in never.sentence
