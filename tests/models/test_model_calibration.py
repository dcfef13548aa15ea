"""Temperature and familiarity from held-out images."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from protoexplain.models.calibration import (
    calibrate,
    familiar_from,
    familiarity,
    fit_temperature,
)
from protoexplain.models.contract import LOG_NORMALISED, LOGITS, PROBABILITIES


def drawn(count, classes, seed):
    """Logits whose softmax is right: labels are drawn from it."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, classes, generator=generator, dtype=torch.float64)
    return logits, torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]


@pytest.mark.parametrize("sureness", [0.5, 1.0, 4.0])
def test_temperature_undoes_scores_that_are_too_sure(sureness):
    logits, labels = drawn(4000, 5, 0)
    assert fit_temperature(logits * sureness, labels) == pytest.approx(sureness, rel=0.08)


def test_temperature_lowers_the_cost_of_held_out_images():
    logits, labels = drawn(300, 4, 1)
    found = fit_temperature(6 * logits, labels)
    assert F.cross_entropy(6 * logits / found, labels) < F.cross_entropy(6 * logits, labels)


def test_few_right_images_do_not_make_it_surer_than_twice():
    logits = torch.eye(3).repeat(4, 1)
    assert 0.2 < fit_temperature(5 * logits, logits.argmax(1)) < 1.5


def test_scores_between_0_and_1_become_as_sure_as_they_are_right():
    """Scores of 0.4 and 0.3 are one answer in many classes, though no share of right answers."""
    scores, labels = torch.full((100, 5), 0.3), torch.arange(100) % 5
    scores[torch.arange(100), labels] = 0.4
    found = calibrate(scores, labels, PROBABILITIES)
    tempered = found.tempered(PROBABILITIES.probabilities(scores))
    assert found.temperature < 0.1
    assert float(tempered.amax(1).min()) > 0.95
    assert torch.equal(tempered.argmax(1), labels)
    nothing = found.tempered(torch.zeros(1, 5))
    torch.testing.assert_close(nothing, torch.full((1, 5), 0.2))


def test_without_held_out_images_there_is_no_calibration():
    assert calibrate(torch.empty(0, 3), torch.empty(0, dtype=torch.long), LOGITS) is None


@given(count=st.integers(1, 200), classes=st.integers(2, 6), seed=st.integers(0, 1000))
def test_most_held_out_images_are_familiar(count, classes, seed):
    logits, labels = drawn(count, classes, seed)
    found = calibrate(logits, labels, LOGITS)
    assert int(found.is_familiar(logits).sum()) >= math.ceil(0.95 * count - 1e-9)
    assert found.familiar.shape == (classes,)


def test_classes_whose_images_are_more_familiar_ask_for_more():
    logits = torch.zeros(200, 2)
    logits[:100, 0], logits[100:, 1] = 10 + torch.rand(100), 1 + torch.rand(100)
    first, second = familiar_from(logits).tolist()
    assert first > second + 3


def test_what_is_added_to_all_scores_is_not_familiar():
    logits, _ = drawn(50, 4, 3)
    torch.testing.assert_close(familiarity(logits + 100), familiarity(logits))


@pytest.mark.parametrize("unit", [LOGITS, LOG_NORMALISED])
def test_tempered_probabilities_are_those_of_scores_divided_by_the_temperature(unit):
    logits, labels = drawn(200, 4, 4)
    scores = 5 * logits.abs() if unit is LOG_NORMALISED else 5 * logits
    found = calibrate(scores, labels, unit)
    logs = scores.square().log1p() if unit is LOG_NORMALISED else scores
    tempered = found.tempered(unit.probabilities(scores))
    torch.testing.assert_close(tempered, (logs / found.temperature).softmax(1))
    assert torch.equal(tempered.argmax(1), scores.argmax(1))
