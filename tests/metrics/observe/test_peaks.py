"""Peaks without upsampling against OpenCV's upsampling, map by map."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from protoexplain.metrics.observe.peaks import peaks


def by_opencv(maps, size):
    """The published way: upsample, first pixel that equals the maximum."""
    found = []
    for one in maps.numpy():
        pixels = cv2.resize(one, (size, size), interpolation=cv2.INTER_CUBIC)
        y, x = np.where(pixels == pixels.max())
        found.append((int(y[0]), int(x[0])))
    return torch.tensor(found)


def random_maps(kind, count, height, width, seed):
    maps = torch.rand(count, height, width, generator=torch.Generator().manual_seed(seed))
    if kind == "smooth":
        return torch.nn.functional.avg_pool2d(maps[:, None], 3, 1, 1)[:, 0].contiguous()
    return {"rough": maps, "negative": -10 * maps, "rectified": (maps - 0.7).clamp_min(0)}[kind]


@pytest.mark.parametrize("kind", ["rough", "smooth", "negative", "rectified"])
@pytest.mark.parametrize(
    ("height", "width", "size"), [(7, 7, 224), (14, 14, 224), (10, 10, 160), (5, 9, 96), (3, 3, 64)]
)
def test_same_as_upsampling(kind, height, width, size):
    """But for near ties, which OpenCV's rounding decides: they lie a pixel apart."""
    maps = random_maps(kind, 200, height, width, seed=height)
    apart = (peaks(maps, size) - by_opencv(maps, size)).abs().amax(1)
    assert int((apart > 0).sum()) <= 2
    assert int(apart.max()) <= 1


@given(seed=st.integers(0, 10_000), shift=st.floats(-100, 100), scale=st.floats(0.01, 100))
@settings(max_examples=20, deadline=None)
def test_shift_and_scale_do_not_move_peaks(seed, shift, scale):
    maps = random_maps("rough", 8, 7, 7, seed).double()
    apart = (peaks(maps * scale + shift, 224) - peaks(maps, 224)).abs().amax()
    assert int(apart) <= 1, "rounding may decide between two neighbours"


def test_first_of_two_equal_peaks_wins():
    maps = torch.zeros(3, 7, 7)
    maps[0, 5, 1] = maps[0, 1, 5] = 1
    maps[1, 3, 1] = maps[1, 3, 5] = 1
    assert torch.equal(peaks(maps, 224), by_opencv(maps, 224))
    assert peaks(maps, 224)[0].tolist()[0] < 64
    assert peaks(maps, 224)[1].tolist()[1] < 64


def test_constant_maps_point_to_the_first_pixel():
    maps = torch.stack([torch.zeros(7, 7), torch.full((7, 7), -3.7), torch.rand(7, 7)])
    found = peaks(maps, 224)
    assert found[:2].tolist() == [[0, 0], [0, 0]]
    assert found.shape == (3, 2)


def test_peak_of_a_corner_cell_lies_inside():
    """The replicated border pushes the maximum in, as published: not to pixel 0."""
    maps = torch.zeros(1, 7, 7)
    maps[0, 0, 0] = 1
    assert peaks(maps, 224).tolist() == by_opencv(maps, 224).tolist()
    assert peaks(maps, 224)[0, 0] > 0


def test_shapes():
    assert peaks(torch.rand(2, 3, 7, 5), 64).shape == (2, 3, 2)
    assert peaks(torch.rand(0, 3, 7, 5), 64).shape == (0, 3, 2)
