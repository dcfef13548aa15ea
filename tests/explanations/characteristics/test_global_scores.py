"""Weighted means and their intervals, against loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from protoexplain.explanations.characteristics import global_scores
from protoexplain.explanations.characteristics.global_scores import LEAST_IMAGES, estimate, known, weighted_mean


def table(images=12, characteristics=3, prototypes=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(images, characteristics, prototypes, generator=generator)
    return scores, torch.rand(images, prototypes, generator=generator)


def loop(scores, weights):
    images, characteristics, prototypes = scores.shape
    means = torch.full((prototypes, characteristics), torch.nan, dtype=torch.float64)
    for j in range(prototypes):
        total = sum(float(weights[k, j]) for k in range(images))
        for i in range(characteristics):
            if total:
                means[j, i] = sum(float(scores[k, i, j]) * float(weights[k, j]) for k in range(images)) / total
    return means


def test_weighted_mean_against_a_loop():
    scores, weights = table()
    weights[:, 2] = 0
    torch.testing.assert_close(weighted_mean(scores.double(), weights.double()), loop(scores, weights), equal_nan=True)


def test_weights_of_one_image_alone():
    scores, weights = table()
    weights[1:] = 0
    torch.testing.assert_close(weighted_mean(scores, weights), scores[0].T)


def test_intervals_against_a_loop():
    """The same draws, one resample and prototype after the other; percentiles as of Student's t."""
    scores, weights = table()
    found = estimate(scores, weights, confidence=0.9, resamples=50, seed=4)
    counts = np.random.default_rng(4).multinomial(12, np.full(12, 1 / 12), size=50)
    means = []
    for row in counts:
        again = np.repeat(np.arange(12), row)
        means.append(loop(scores[again], weights[again]).numpy())
    for prototype, column in enumerate(weights.double().T):
        images = float(column.sum() ** 2 / (column**2).sum())
        reach = stats.t.ppf(1 - 0.1 / 6, images - 1) * (images / (images - 1)) ** 0.5
        tail = stats.norm.cdf(-reach)
        low, high = np.quantile(np.array(means)[:, prototype], [tail, 1 - tail], axis=0)
        np.testing.assert_allclose(found.low[prototype].numpy(), low, atol=1e-6)
        np.testing.assert_allclose(found.high[prototype].numpy(), high, atol=1e-6)
    torch.testing.assert_close(found.value, loop(scores, weights), atol=1e-6, rtol=0)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 999), order=st.permutations(range(12)), block=st.sampled_from([1, 200, 1 << 23]))
def test_order_of_images_and_size_of_blocks_do_not_matter(seed, order, block):
    scores, weights = table(seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        one = estimate(scores, weights, resamples=200)
        patch.setattr(global_scores, "_BLOCK", block)
        other = estimate(scores, weights, resamples=200)
    for name in ("value", "low", "high"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name))
    shuffled = estimate(scores[order], weights[order], resamples=200)
    torch.testing.assert_close(shuffled.value, one.value)
    assert bool(((one.low <= one.high) & (shuffled.low <= shuffled.high)).all())


def test_intervals_hold_the_truth_as_often_as_they_say():
    """400 tables of 20 images whose true means are zero: all of six intervals hold in about 95 % of the tables."""
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(20, 6, 400, generator=generator)
    found = estimate(scores, torch.rand(20, 400, generator=generator) + 0.5)
    holds = ((found.low <= 0) & (found.high >= 0)).all(1).float().mean()
    assert 0.9 <= holds <= 0.98


def test_what_was_not_measured_is_no_number():
    scores, weights = table()
    weights[:, 1] = 0
    found = estimate(scores, weights, resamples=20)
    for part in (found.value, found.low, found.high):
        assert part[1].isnan().all()
        assert not part[[0, 2, 3, 4]].isnan().any()
    weights[: LEAST_IMAGES - 1, 1] = 1
    assert estimate(scores, weights, resamples=20).value[1].isnan().all(), "too few to tell of the others"
    weights[:LEAST_IMAGES, 1] = 1
    assert not estimate(scores, weights, resamples=20).value[1].isnan().any()
    assert [known(value) for value in (float("nan"), float("inf"), 1 / 3)] == [None, None, 0.33333]
