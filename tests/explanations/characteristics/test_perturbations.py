"""The six published changes of a picture."""

import colorsys
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS

NAMES = list(MODIFICATIONS)
pictures = st.tuples(st.integers(1, 30), st.integers(1, 30)).flatmap(lambda size: arrays(np.uint8, (*size, 3)))


@pytest.fixture(params=NAMES, scope="module")
def modification(request):
    return MODIFICATIONS[request.param]


def noise(height=40, width=50, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_names_and_published_strengths():
    assert NAMES == ["contrast", "saturation", "hue", "shape", "texture", "brightness"]
    assert [entry.strength for entry in MODIFICATIONS.values()] == [0.45, 0.7, 0.1, 4, 4, 0.8]
    for name, entry in MODIFICATIONS.items():
        assert entry.name == name
        assert entry.low <= entry.neutral <= entry.high
        assert entry.low <= entry.strength <= entry.high
        assert entry.label
        assert entry.unit


@settings(max_examples=15, deadline=None)
@given(rgb=pictures, share=st.floats(0, 1))
def test_any_picture_and_strength(modification, rgb, share):
    """Shape and type stay, the input is not touched, and equal calls give equal pictures."""
    before, strength = rgb.copy(), modification.low + share * (modification.high - modification.low)
    changed = modification(rgb, strength)
    assert changed.shape == rgb.shape
    assert changed.dtype == np.uint8
    assert np.array_equal(rgb, before)
    assert np.array_equal(changed, modification(rgb, strength))


def test_neutral_strength_changes_nothing(modification):
    rgb = noise()
    kept = modification(rgb, modification.neutral)
    assert np.array_equal(kept, rgb)
    assert kept is not rgb


def test_default_is_the_published_strength(modification):
    rgb = noise()
    assert np.array_equal(modification(rgb), modification(rgb, modification.strength))
    assert not np.array_equal(modification(rgb), rgb)


def test_more_strength_changes_more(modification):
    rgb = np.clip(noise().astype(int) // 4 + np.arange(40)[:, None, None] * 3, 0, 255).astype(np.uint8)
    end = modification.low if modification.strength < modification.neutral else modification.high
    changes = [
        np.abs(modification(rgb, modification.neutral + share * (end - modification.neutral)) - rgb.astype(int)).mean()
        for share in (0.1, 0.4, 0.9)
    ]
    assert changes == sorted(changes)
    assert changes[0] > 0


@pytest.mark.parametrize("amplitude", [4.0, 2.5, 11.0])
def test_shape_shifts_pixel_by_pixel(amplitude):
    """First rows to the right, then columns of the result down, both around the border."""
    rgb = noise(47, 31)
    height, width = rgb.shape[:2]

    def shift(n):
        return math.trunc(amplitude * math.sin(0.05 * math.pi * n))

    rows, expected = np.empty_like(rgb), np.empty_like(rgb)
    for y in range(height):
        for x in range(width):
            rows[y, (x + shift(y)) % width] = rgb[y, x]
    for y in range(height):
        for x in range(width):
            expected[(y + shift(x)) % height, x] = rows[y, x]
    assert np.array_equal(MODIFICATIONS["shape"](rgb, amplitude), expected)


def test_contrast_and_brightness_by_their_formulas():
    rgb = noise()
    r, g, b = rgb.astype(np.int64).transpose(2, 0, 1)
    light = (19595 * r + 38470 * g + 7471 * b + 32768) >> 16

    def blend(a, factor):
        return (np.float32(a) + np.float32(factor) * (rgb.astype(np.float32) - np.float32(a))).astype(np.uint8)

    assert np.array_equal(MODIFICATIONS["contrast"](rgb), blend(int(light.mean() + 0.5), 0.45))
    assert np.array_equal(MODIFICATIONS["saturation"](rgb), blend(light[..., None], 0.7))
    assert np.array_equal(MODIFICATIONS["brightness"](rgb), blend(0, 0.8))


def test_hue_turns_colours_and_leaves_greys():
    grey = np.full((4, 4, 3), 120, np.uint8)
    assert np.array_equal(MODIFICATIONS["hue"](grey, 0.3), grey)
    red = np.zeros((1, 1, 3), np.uint8)
    red[..., 0] = 200
    for turns in (0.1, -0.1, 0.5, -0.5):
        hue, _, value = colorsys.rgb_to_hsv(*MODIFICATIONS["hue"](red, turns)[0, 0] / 255)
        apart = (hue - turns) % 1
        assert min(apart, 1 - apart) < 0.01
        assert value == pytest.approx(200 / 255)
