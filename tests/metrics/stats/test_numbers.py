"""Bootstrap, calibration, sizes, redundancy and thresholds against other ways to compute them."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.observed import observe, score_of
from scipy import stats
from torchmetrics.functional.classification import multiclass_calibration_error

from protoexplain.metrics.scores.calibration_error import METRIC as CALIBRATION
from protoexplain.metrics.scores.calibration_error import bin_rows, error_of
from protoexplain.metrics.scores.distinctness import METRIC as DISTINCTNESS
from protoexplain.metrics.scores.redundancy import METRIC as REDUNDANCY
from protoexplain.metrics.scores.redundancy import nearest_twin
from protoexplain.metrics.stats.bootstrap import gap, grouped, interval, ratio, totals
from protoexplain.metrics.stats.out_of_distribution import accepted, class_thresholds, overall_threshold
from protoexplain.metrics.stats.randomness import random_points, seed_of

LABELS = (0, 0, 0, 1, 1, 2, 2, 3)


class TestBootstrap:
    def test_like_scipy(self):
        values = np.random.default_rng(0).normal(3, 1, 80)
        low, high = interval(np.stack([values, np.ones(80)], 1), ratio, 4000, 0)
        expected = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=1).confidence_interval
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.02)

    def test_covers_the_truth_about_as_often_as_it_says(self):
        rng, covered = np.random.default_rng(0), 0
        for trial in range(200):
            values = rng.normal(0, 1, 40)
            low, high = interval(np.stack([values, np.ones(40)], 1), ratio, 300, trial)
            covered += low <= 0 <= high
        assert 0.88 <= covered / 200 <= 0.99

    @given(order=st.permutations(range(12)))
    @settings(max_examples=20, deadline=None)
    def test_order_of_units_changes_nothing(self, order):
        rows = np.random.default_rng(0).random((12, 2))
        assert np.array_equal(totals(rows, 50, 3), totals(rows[list(order)], 50, 3))

    def test_chunks_make_no_difference(self, monkeypatch):
        rows = np.random.default_rng(0).random((30, 2))
        whole = totals(rows, 100, 3)
        assert whole.shape == (100, 2)
        monkeypatch.setattr("protoexplain.metrics.stats.bootstrap._CHUNK", 90)
        assert totals(rows, 100, 3).mean() == pytest.approx(whole.mean(), rel=0.05)

    def test_pairing_narrows_the_interval(self):
        rng = np.random.default_rng(0)
        hardness = rng.normal(0, 1, 100)
        one, two = hardness + 0.1 * rng.normal(size=100), hardness + 0.2 + 0.1 * rng.normal(size=100)
        ones = np.ones(100)
        low, high = interval(np.stack([one, ones, two, ones], 1), gap, 1000, 0)
        assert low <= (one - two).mean() <= high
        single = interval(np.stack([one, ones], 1), ratio, 1000, 0)
        assert high - low < 0.3 * (single[1] - single[0])

    def test_too_little_to_draw_from(self):
        assert interval(np.ones((1, 2)), ratio, 100, 0) is None
        assert interval(np.zeros((0, 2)), ratio, 100, 0) is None
        assert interval(np.array([[1.0, 0.0], [1.0, 1.0]]), ratio, 100, 0) is None, "resamples without any count"

    def test_groups_leave_missing_values_out(self):
        values = np.array([1.0, np.nan, 3.0, 5.0, np.nan])
        assert grouped(values, np.array([7, 7, 2, 7, 9])).tolist() == [[3.0, 1.0], [6.0, 2.0]]


class TestRandomness:
    def test_an_image_has_its_own_numbers(self):
        both = random_points(0, "peak", ("a", "b"), 3, (10, 20))
        assert torch.equal(both[1:], random_points(0, "peak", ("b",), 3, (10, 20)))
        assert len({seed_of(s, p, i) for s, p, i in itertools.product((0, 1), ("x", "y"), ("a", "b"))}) == 8
        assert both[..., 0].max() < 10

    def test_no_image(self):
        assert random_points(0, "peak", (), 3, (4, 4)).shape == (0, 3, 2)


class TestCalibration:
    @given(seed=st.integers(0, 1000), bins=st.sampled_from([1, 5, 15, 20]))
    @settings(max_examples=20, deadline=None)
    def test_rows_add_up_to_torchmetrics(self, seed, bins):
        generator = torch.Generator().manual_seed(seed)
        probabilities = (4 * torch.rand(50, 4, generator=generator)).softmax(1)
        labels = torch.randint(4, (50,), generator=generator)
        confidence, predicted = probabilities.max(1)
        rows = bin_rows(confidence.double().numpy(), (predicted == labels).numpy(), bins)
        expected = float(multiclass_calibration_error(probabilities, labels, 4, bins, "l1"))
        assert float(error_of(rows.sum(0, keepdims=True))[0]) == pytest.approx(expected, abs=1e-6)

    def test_rounding_does_not_make_logits_of_probabilities(self):
        """CBC's are computed as one for each class, and may end a little beside [0, 1]."""
        observed = observe(LABELS)
        certain = torch.nn.functional.one_hot(observed.labels, 4).float()
        observed.columns["scores"]["probabilities"] = 0.94 * certain
        expected = score_of(CALIBRATION, observed)
        assert expected.value == pytest.approx(0.06, abs=1e-6)
        rounded = (0.94 * certain).where(torch.arange(len(certain))[:, None] > 0, certain * 1.000003 - 1.5e-6)
        assert rounded.max() > 1
        assert rounded.min() < 0
        observed.columns["scores"]["probabilities"] = rounded
        found = score_of(CALIBRATION, observed)
        share = 1 / len(certain)
        assert found.value == pytest.approx(0.06 * (1 - share), abs=1e-6)
        assert found.details["mean_confidence"] == pytest.approx(share + 0.94 * (1 - share), abs=1e-6)
        assert found.curves[0].y == pytest.approx([found.value] * len(found.curves[0].y), abs=1e-6)

    def test_a_model_that_is_always_sure_and_right(self):
        observed = observe(LABELS)
        certain = torch.nn.functional.one_hot(observed.labels, 4).float()
        observed.columns["scores"]["probabilities"] = certain
        score = score_of(CALIBRATION, observed)
        assert score.value == 0
        assert score.details["mean_confidence_when_wrong"] is None
        observed.columns["scores"]["probabilities"] = certain.roll(1, 1)
        assert score_of(CALIBRATION, observed).value == 1


class TestRedundancy:
    def test_like_numpy(self):
        activations = torch.rand(30, 8, generator=torch.Generator().manual_seed(0))
        activations[:, 5] = 3 * activations[:, 2] + 1 + 0.01 * torch.rand(30)
        activations[:, 7] = 0.5
        best, twin = nearest_twin(activations)
        expected = np.corrcoef(activations[:, :7].T.double().numpy())
        np.fill_diagonal(expected, -np.inf)
        assert best[:7].tolist() == pytest.approx(expected.max(1).tolist(), abs=1e-9)
        assert twin[:7].tolist() == expected.argmax(1).tolist()
        assert best[7].isnan()
        assert (int(twin[5]), int(twin[2])) == (2, 5)

    def test_twins_are_redundant_and_constants_left_out(self):
        observed = observe(LABELS)
        activations = observed.columns["scores"]["activations"]
        activations[:, 1] = activations[:, 0]
        activations[:, 2] = 1
        score = score_of(REDUNDANCY, observed)
        assert score.per_prototype[:3] == (1.0, 1.0, None)
        assert score.excluded == {"prototypes with the same activation on all images": 1}
        assert score.details["twin"][:3] == [1, 0, -1]


def test_distinctness_equals_a_slow_loop():
    observed = observe(LABELS, half_window=15)
    apart, pairs = np.zeros(12), np.zeros(12)
    for image, label in enumerate(LABELS):
        owned = observed.description.assigned[label].tolist()
        for one, two in itertools.permutations(range(3), 2):
            distance = (observed.peaks[image, one].int() - observed.peaks[image, two].int()).abs().max()
            apart[owned[one]] += int(distance) > 15
            pairs[owned[one]] += 1
    assert score_of(DISTINCTNESS, observed).per_prototype == pytest.approx((apart / pairs).tolist())
    assert score_of(DISTINCTNESS, observed).baselines["centre peak"] == 0


class TestThresholds:
    @given(seed=st.integers(0, 1000), shift=st.sampled_from([-50.0, -1.0, 0.0, 3.0]))
    @settings(max_examples=30, deadline=None)
    def test_enough_known_images_pass(self, seed, shift):
        """Whatever the sign of the scores, and however few images a class has."""
        known = 3 * torch.randn(23, 5, generator=torch.Generator().manual_seed(seed)) + shift
        thresholds = class_thresholds(known)
        assert bool(thresholds.isfinite().all())
        assert float(accepted(known, thresholds).double().mean()) >= 0.95
        assert float((known.amax(1) >= overall_threshold(known)).double().mean()) >= 0.9

    def test_unlike_images_are_turned_away(self):
        known = torch.eye(4).repeat(25, 1) * 10 + torch.rand(100, 4)
        assert not accepted(torch.ones(6, 4), class_thresholds(known)).any()
