"""What tells two classes apart: changes in place, and what they take away from the difference of scores."""

import numpy as np
import pytest
import torch
from tiny_runs import tiny_config, tiny_model
from toy_models import linear

from benchmarks.changes_in_place import CHANGES, REACH, in_place
from benchmarks.distinctions import Distinction, calibrated, distinguish, place_of
from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS
from protoexplain.models.registry import family_names

SIDE = 96


def scene(seed=0):
    """A coloured, patterned field, and a mask in it."""
    rng = np.random.default_rng(seed)
    rgb = np.kron(rng.integers(60, 200, (SIDE // 4, SIDE // 4, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[30:60, 20:60] = True
    return rgb, mask


def lab(rgb):
    import cv2

    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def test_all_characteristics_can_be_changed_in_place():
    rgb, mask = scene()
    before = rgb.copy()
    changed = in_place(rgb, mask)
    assert list(changed) == list(CHANGES) == list(MODIFICATIONS)
    for name, versions in changed.items():
        for picture in versions:
            assert picture.shape == rgb.shape
            assert picture.dtype == np.uint8
            assert not np.array_equal(picture, rgb), name
    assert np.array_equal(rgb, before)
    again = in_place(rgb, mask)
    assert all(np.array_equal(a, b) for name in changed for a, b in zip(changed[name], again[name], strict=True))


@pytest.mark.parametrize("name", list(CHANGES))
def test_nothing_changes_far_from_the_place(name):
    rgb, mask = scene()
    reach = int(max(REACH.get(name, 0), 0) * SIDE) + 6
    far = np.ones_like(mask)
    far[30 - reach : 60 + reach, max(20 - reach, 0) : 60 + reach] = False
    assert far.any()
    for picture in in_place(rgb, mask)[name]:
        assert np.array_equal(picture[far], rgb[far])


def inner():
    """The middle of the place, away from its soft edge."""
    return np.s_[38:52, 28:52]


def test_colours_change_and_lightness_stays():
    rgb, mask = scene()
    soft = (rgb // 2 + 64).astype(np.uint8)
    changed, before = in_place(soft, mask), lab(soft)[inner()]
    grey, vivid = (lab(picture)[inner()] for picture in changed["saturation"])
    chroma = [float(np.hypot(p[..., 1], p[..., 2]).mean()) for p in (grey, before, vivid)]
    assert chroma[0] < 0.4 * chroma[1]
    assert chroma[2] > 1.3 * chroma[1]
    assert np.abs(grey[..., 0] - before[..., 0]).mean() < 2
    for turned in changed["hue"]:
        turned = lab(turned)[inner()]
        assert np.abs(turned[..., 0] - before[..., 0]).mean() < 2.5
        cos = (turned[..., 1:] * before[..., 1:]).sum(-1) / (
            np.linalg.norm(turned[..., 1:], axis=-1) * np.linalg.norm(before[..., 1:], axis=-1) + 1e-6
        )
        assert np.median(cos) == pytest.approx(np.cos(2 * np.pi * 0.3), abs=0.15)


def test_contrast_changes_detail_and_keeps_the_mean():
    rgb, mask = scene()
    before = lab(rgb)[inner()][..., 0]
    flat, rich = (lab(picture)[inner()][..., 0] for picture in in_place(rgb, mask)["contrast"])
    assert flat.std() < before.std()
    assert rich.std() >= 0.98 * before.std()
    assert flat.mean() == pytest.approx(before.mean(), abs=3)


def test_texture_leaves_the_outline_and_shape_moves_it():
    """A flat disc has no pattern to lose, but an outline."""
    rows, columns = np.indices((SIDE, SIDE))
    mask = (rows - 48) ** 2 + (columns - 48) ** 2 < 20**2
    rgb = np.where(mask[..., None], np.uint8([200, 60, 60]), np.uint8([40, 90, 160]))
    changed = in_place(rgb, mask)
    (pattern,) = changed["texture"]
    assert np.abs(pattern.astype(int) - rgb).max() <= 10
    assert len(changed["shape"]) == 5
    for picture in changed["shape"]:
        assert np.abs(picture.astype(int) - rgb).max() > 50


def test_the_place_is_where_the_evidence_lies():
    model = linear([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    rgb = np.zeros((8, 8, 3), np.uint8)
    rgb[1, 2, 0] = rgb[6, 5, 1] = 250
    for label, (row, column) in enumerate([(1, 2), (6, 5)]):
        expected = np.zeros((8, 8), dtype=bool)
        expected[row - 1 : row + 2, column - 1 : column + 2] = True
        assert np.array_equal(place_of(model, rgb, 8, label, 2), expected)


@pytest.mark.parametrize("family", family_names())
def test_drops_against_a_loop(family):
    model = tiny_model(tiny_config(family))
    rgb, mask = scene()
    found = distinguish(model, rgb, 64, mask, 2, 0)
    from protoexplain.explanations.characteristics.variants import variants

    def scores(picture):
        with torch.no_grad():
            return model(variants(picture, 64, [])[:1].float() / 255).logits[0]

    before = scores(rgb)
    assert found.margin == pytest.approx(float(before[2] - before[0]), abs=1e-4)
    for name, versions in in_place(rgb, mask).items():
        after = [scores(picture) for picture in versions]
        drops = {k: max(float((before[2] - before[k]) - (s[2] - s[k])) for s in after) for k in (0, 1, 3)}
        assert found.drops[name] == pytest.approx(drops[0], abs=2e-4)
        assert found.unrelated[name] == pytest.approx((abs(drops[1]) + abs(drops[3])) / 2, abs=2e-4)


def test_calibrated_scores_are_means_in_units_of_unrelated_margins():
    one = Distinction(5.0, {"hue": 2.0, "shape": 1.0}, {"hue": 0.5, "shape": 1.0})
    two = Distinction(4.0, {"hue": 4.0, "shape": 0.0}, {"hue": 1.5, "shape": 3.0})
    assert calibrated([one]) == {"hue": 4.0, "shape": 1.0}
    assert calibrated([one], [two]) == {"hue": 2.0, "shape": 0.5}
    assert calibrated([one, two]) == {"hue": 3.0, "shape": 0.25}


def test_other_changes_can_be_asked():
    model = tiny_model(tiny_config("protopnet"))
    rgb, mask = scene()
    inverted = {"hue": (255 - rgb,)}
    found = distinguish(model, rgb, 64, mask, 2, 0, lambda rgb, mask: inverted)
    assert set(found.drops) == set(found.unrelated) == {"hue"}
    back = distinguish(model, inverted["hue"][0], 64, mask, 2, 0, lambda picture, mask: {"hue": (rgb,)})
    assert found.drops["hue"] == pytest.approx(-back.drops["hue"], abs=1e-4)
    assert found.drops["hue"] == pytest.approx(found.margin - back.margin, abs=1e-4)
