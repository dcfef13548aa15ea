from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from protoexplain.metrics.observe.noise import RANKS, fill_with_noise, medians

DEVIATION, LIMIT = 0.2, 0.25


def drawn(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    noise = torch.full(shape, torch.nan)
    fill_with_noise(noise, DEVIATION, LIMIT, seed)
    return noise


@given(st.floats(0.01, 2), st.floats(0.01, 2))
def test_levels_are_quantiles_of_the_clipped_distribution(deviation, limit):
    levels = torch.from_numpy(medians(deviation, limit)).double()
    assert len(levels) == RANKS
    assert (levels.diff() >= 0).all()
    torch.testing.assert_close(levels, -levels.flip(0))
    assert levels.abs().max() <= torch.tensor(limit).float()
    free = levels.abs() < limit * (1 - 1e-6)
    shares = torch.from_numpy(norm.cdf(levels / deviation))
    torch.testing.assert_close(shares[free], ((torch.arange(RANKS) + 0.5) / RANKS)[free].double(), atol=1e-6, rtol=0)


def test_moments_and_clipping():
    noise = drawn((3, 300, 300), 7).double()
    bound = LIMIT / DEVIATION
    clipped = 2 * norm.sf(bound)
    variance = DEVIATION**2 * (1 - clipped - 2 * bound * norm.pdf(bound)) + clipped * LIMIT**2
    assert float(noise.mean()) == pytest.approx(0, abs=1.5e-3)
    assert float(noise.square().mean()) == pytest.approx(variance, rel=0.01)
    assert float((noise.abs() >= LIMIT).double().mean()) == pytest.approx(clipped, abs=4e-3)


def test_neighbours_channels_and_seeds_are_independent():
    noise, other = (drawn((3, 256, 256), seed).double() for seed in (7, 8))

    def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
        return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])

    assert abs(correlation(noise[:, :, 1:], noise[:, :, :-1])) < 0.012
    assert abs(correlation(noise[:, 1:], noise[:, :-1])) < 0.012
    assert abs(correlation(noise[0], noise[1])) < 0.02
    assert abs(correlation(noise, other)) < 0.012


def test_a_seed_gives_the_same_numbers_for_every_shape():
    whole = drawn((3, 5, 7), 1 << 62)
    assert torch.equal(whole.flatten()[:10], drawn((10,), 1 << 62))
    assert not torch.equal(whole, drawn((3, 5, 7), 1))
