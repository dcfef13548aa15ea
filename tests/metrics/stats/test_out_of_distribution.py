"""How familiar images look: thresholds, and the area under the ROC curve with its interval."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.observed import observe, score_of
from torchmetrics.functional.classification import binary_auroc

from protoexplain.metrics.scores.foreign_auroc import METRIC as AUROC
from protoexplain.metrics.stats.out_of_distribution import area_under_roc
from protoexplain.models.calibration import familiarity, threshold_of

LABELS = (0, 0, 0, 1, 1, 2, 2, 3)


@given(seed=st.integers(0, 1000), levels=st.sampled_from([3, 1000]))
@settings(max_examples=20, deadline=None)
def test_area_is_that_of_torchmetrics(seed, levels):
    """Ties included."""
    generator = torch.Generator().manual_seed(seed)
    known, foreign = (torch.randint(levels, (size,), generator=generator) / levels for size in (13, 17))
    truth = torch.cat([torch.ones(13), torch.zeros(17)]).long()
    expected = float(binary_auroc(torch.cat([known, foreign]), truth))
    assert area_under_roc(known.double(), foreign.double())[0] == pytest.approx(expected, abs=1e-6)


def test_deviation_is_that_of_drawing_images_anew():
    rng = np.random.default_rng(0)
    areas, deviations = [], []
    for _ in range(400):
        known, foreign = torch.from_numpy(rng.normal(1, 1, 60)), torch.from_numpy(rng.normal(0, 2, 40))
        area, deviation = area_under_roc(known, foreign)
        areas.append(area)
        deviations.append(deviation)
    assert np.mean(deviations) == pytest.approx(np.std(areas), rel=0.1)
    assert np.isnan(area_under_roc(torch.ones(1), torch.ones(5))[1])


@given(seed=st.integers(0, 1000), passing=st.sampled_from([0.5, 0.9, 0.95, 1.0]), size=st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_enough_images_reach_the_threshold_and_no_larger_one_would_do(seed, passing, size):
    known = torch.from_numpy(np.random.default_rng(seed).normal(size=size))
    threshold = threshold_of(known, passing)
    assert float((known >= threshold).double().mean()) >= passing - 1e-9
    above = known[known > threshold]
    assert len(above) / size < passing


def test_no_threshold_without_images():
    with pytest.raises(ValueError, match="no threshold"):
        threshold_of(torch.zeros(0))
    with pytest.raises(ValueError, match="no threshold"):
        threshold_of(torch.zeros(3), 0)


def test_what_all_classes_get_is_not_familiar():
    """ProtoPNet's weights for other classes are negative: where nothing is found, all scores are higher."""
    known, foreign = torch.full((5, 4), -9.0), torch.full((6, 4), -1.0)
    known[torch.arange(5), torch.arange(5) % 4] = -5
    assert float(known.amax(1).max()) < float(foreign.amax(1).min())
    assert area_under_roc(familiarity(known), familiarity(foreign))[0] == 1
    assert familiarity(known).tolist() == pytest.approx([3.0] * 5)
    torch.testing.assert_close(familiarity(known + 7), familiarity(known))


def test_score():
    observed = observe(LABELS)
    observed.columns["scores"]["logits"] = 5.0 * torch.nn.functional.one_hot(observed.labels, 4)
    observed.foreign["scores"]["logits"] = torch.zeros(11, 4) + 100
    score = score_of(AUROC, observed)
    assert (score.value, score.low, score.high) == (1, 1, 1)
    assert score.details["foreign_images_accepted"] == 0
    assert score.details["of_the_best_class_score"] == 0
    observed.foreign["scores"]["logits"][:4] = 5.0 * torch.nn.functional.one_hot(torch.arange(4), 4)
    score = score_of(AUROC, observed)
    assert score.value == pytest.approx((7 + 4 / 2) / 11)
    assert score.details["foreign_images_accepted"] == pytest.approx(4 / 11)
    assert score.low < score.value < score.high <= 1
