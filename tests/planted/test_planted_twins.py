import cv2
import numpy as np
import pytest

from protoexplain.planted import plan, render
from protoexplain.planted.classes import ATTRIBUTES, REGION_PARTS, REGIONS
from protoexplain.planted.colour import rgb
from protoexplain.planted.plumage import number

PLAN = plan(20, 0)
SIZE = 128


def planted_region(twins, pictures):
    region = np.zeros((SIZE, SIZE), np.uint8)
    for picture in pictures:
        region |= (picture.regions == number(twins.region)).astype(np.uint8)
    return region


def test_the_kind_of_difference_cycles():
    assert [twins.attribute for twins in PLAN.twins] == [*ATTRIBUTES, *ATTRIBUTES]
    assert [twins.classes for twins in PLAN.twins] == [(2 * k, 2 * k + 1) for k in range(10)]
    regions = {attribute: [t.region for t in PLAN.twins if t.attribute == attribute] for attribute in ATTRIBUTES}
    assert all(first != second for first, second in regions.values())


@pytest.mark.parametrize("twins", PLAN.twins, ids=lambda twins: f"{twins.attribute}-{twins.region}")
def test_twins_differ_in_the_planted_region_only(twins):
    strength, covered = [], []
    for seed in range(4):
        pictures = [render(PLAN.birds[k], [1, seed], SIZE) for k in twins.classes]
        difference = np.abs(pictures[0].image.astype(int) - pictures[1].image).max(axis=2)
        region = planted_region(twins, pictures)
        around = cv2.dilate(region, np.ones((15, 15), np.uint8))
        assert np.mean(difference[around == 0] > 12) < 2e-4
        strength.append(difference[region > 0].mean())
        covered.append(region.mean())
    assert np.mean(strength) > 20
    assert np.mean(covered) > 0.004


def test_unlike_pairs_differ_in_many_attributes():
    for first in range(0, 20, 2):
        for second in range(first + 2, 20, 2):
            appearances = zip(PLAN.birds[first].appearances, PLAN.birds[second].appearances, strict=True)
            assert sum(abs((a.hue - b.hue + 180) % 360 - 180) > 20 or a.shape != b.shape for a, b in appearances) >= 3


def test_the_planted_region_nearly_always_shows():
    shown = 0
    for twins in PLAN.twins:
        for seed in range(12):
            picture = render(PLAN.birds[twins.classes[0]], [2, seed], 96)
            shown += any(picture.parts[part] is not None for part in REGION_PARTS[twins.region])
    assert shown > 0.9 * 12 * len(PLAN.twins)


def test_hue_and_saturation_keep_the_brightness():
    wide = plan(60, 3)
    for twins in wide.twins:
        appearances = [wide.birds[k].appearance(twins.region) for k in twins.classes]
        grey = [np.dot(rgb(look.hue, look.saturation, look.lightness), (0.299, 0.587, 0.114)) for look in appearances]
        assert abs(grey[0] - grey[1]) < 45


@pytest.mark.parametrize("twins", [t for t in PLAN.twins if t.attribute in ("contrast", "texture")])
def test_contrast_and_texture_keep_the_mean_colour(twins):
    means = []
    for k in twins.classes:
        pictures = [render(PLAN.birds[k], [3, seed], SIZE) for seed in range(4)]
        pixels = [picture.image[picture.regions == number(twins.region)] for picture in pictures]
        means.append(np.concatenate(pixels).mean(axis=0))
    assert np.abs(means[0] - means[1]).max() < 12


def test_names_are_unique_and_twins_share_the_family():
    names = [bird.name for bird in plan(130, 1).birds]
    assert len(set(names)) == 130
    families = [name.split("_")[-1] for name in names]
    assert families[::2] == families[1::2]


def test_a_smaller_plan_begins_a_larger_one():
    assert plan(6, 2).birds == plan(20, 2).birds[:6]
    assert plan(6, 2).birds != plan(6, 3).birds


def test_every_bird_has_a_look_for_every_region():
    assert all(len(bird.appearances) == len(REGIONS) for bird in PLAN.birds)
