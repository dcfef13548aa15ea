"""Upsampling against OpenCV, boxes against a loop over pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from protoexplain.data.geometry import Box
from protoexplain.regions.boxes import (
    heat_colours,
    high_activation_boxes,
    overlay,
    upsample,
)


@pytest.mark.parametrize(("cells", "pixels"), [((7, 7), (224, 224)), ((5, 9), (40, 64)), ((8, 8), (8, 8))])
def test_upsampling_is_opencvs_cubic(cells, pixels):
    torch.manual_seed(0)
    maps = 10 * torch.randn(2, 3, *cells)
    up = upsample(maps, *pixels)
    assert up.shape == (2, 3, *pixels)
    for one, big in zip(maps.flatten(0, 1), up.flatten(0, 1), strict=True):
        expected = cv2.resize(one.numpy(), pixels[::-1], interpolation=cv2.INTER_CUBIC)
        np.testing.assert_allclose(big.numpy(), expected, atol=2e-5)


def test_a_constant_map_stays_constant_and_its_box_is_the_whole_image():
    up = upsample(torch.full((1, 7, 7), 0.1234567), 32, 48)
    assert up.unique().tolist() == [pytest.approx(0.1234567)]
    assert high_activation_boxes(up) == [Box(0, 0, 48, 32)]
    assert np.isfinite(heat_colours(up[0])).all()


@pytest.mark.parametrize("percentile", [50.0, 95.0, 100.0])
def test_boxes_bound_the_pixels_above_the_percentile(percentile):
    torch.manual_seed(1)
    maps = upsample(torch.randn(12, 7, 7), 40, 56)
    for pixels, box in zip(maps.numpy(), high_activation_boxes(maps, percentile), strict=True):
        ys, xs = np.nonzero(pixels >= np.percentile(pixels, percentile))
        assert box == Box(xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


def test_one_box_follows_the_peak():
    pixels = torch.zeros(20, 30)
    pixels[4:6, 10:13] = 1
    assert high_activation_boxes(pixels[None], 99.5) == [Box(10, 4, 13, 6)]


def test_heat_runs_from_blue_to_red_whatever_the_scale():
    ramp = torch.linspace(-3, 900, 256).view(16, 16)
    colours = heat_colours(ramp)
    assert colours.shape == (16, 16, 3)
    assert colours[0, 0].tolist() == pytest.approx([0, 0, 128 / 255])
    assert colours[-1, -1].tolist() == pytest.approx([128 / 255, 0, 0])


def test_overlay_mixes_image_and_heat():
    ramp, image = torch.rand(8, 8), np.random.default_rng(0).random((8, 8, 3), dtype=np.float32)
    np.testing.assert_allclose(overlay(image, ramp) - 0.5 * image, 0.3 * heat_colours(ramp), atol=1e-6)
