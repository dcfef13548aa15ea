"""Regions become parts if they tell classes apart and are found again."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from protoexplain.training.part_choice import best_regions, between_classes, found_again, tells_classes


def stripes(count, seed=0):
    """int64 [N,12,12]: objects of three stripes, 0 to 2, at random places; 3 for the background."""
    generator = torch.Generator().manual_seed(seed)
    stripe = torch.full((count, 12, 12), 3)
    for one in stripe:
        top, left = (int(torch.randint(7, (), generator=generator)) for _ in range(2))
        for part in range(3):
            one[top + 2 * part : top + 2 * part + 2, left : left + 6] = part
    return stripe


def test_a_region_that_looks_alike_in_all_classes_tells_nothing():
    """Of two stripes one has the colour of the class, the other one of its own in each image."""
    generator = torch.Generator().manual_seed(0)
    stripe = stripes(300)
    labels = torch.arange(300) % 5
    low = torch.randn(300, 4, 12, 12, generator=generator)
    of_class, of_image = torch.randn(5, 4, generator=generator), torch.randn(300, 4, generator=generator)
    for image, label in enumerate(labels.tolist()):
        low[image, :, stripe[image] == 1] += 5 * of_class[label][:, None]
        low[image, :, stripe[image] == 2] += 5 * of_image[image][:, None]
    shares = between_classes(low, stripe, labels, 5)
    assert shares[1] > 0.9
    assert shares[[0, 2]].max() < 0.02, "what few images of a class give by chance is taken off"
    assert shares[4] == 0, "no image shows it"


def test_shares_equal_a_slow_loop():
    generator = torch.Generator().manual_seed(1)
    low, labels = torch.randn(7, 2, 3, 3, generator=generator), torch.tensor([0, 2, 0, 2, 0, 2, 2])
    shown = torch.randint(0, 3, (7, 3, 3), generator=generator)
    for region, share in enumerate(between_classes(low, shown, labels, 2).tolist()):
        looks = torch.stack([low[i][:, shown[i] == region].mean(1) for i in range(7)]).double()
        total = (looks - looks.mean(0)).square().sum(0) / 6
        within = sum((looks[labels == c] - looks[labels == c].mean(0)).square().sum(0) for c in (0, 2)) / 5
        assert share == pytest.approx(max(float((1 - within / total).mean()), 0))


def test_chance_is_taken_off_however_few_images_a_class_has():
    """Nothing differs between classes: of ratios that may fall below 0, which are cut there, half are 0."""
    generator = torch.Generator().manual_seed(2)
    shown = torch.zeros(40, 1, 1, dtype=torch.int64)
    for images in (1, 2, 5):
        labels = torch.arange(40) // images
        ratios = [
            float(between_classes(torch.randn(40, 50, 1, 1, generator=generator), shown, labels, 1)) for _ in range(40)
        ]
        assert sum(ratios) / 40 < 0.03
        assert ratios.count(0) >= (40 if images == 1 else 8)


def test_regions_of_every_division_are_found_again_and_those_of_one_are_not():
    """The same stripes under other numbers; in the last division the lowest one is cut in two."""
    first = stripes(20)
    second = torch.tensor([2, 0, 1, 3])[first]
    third = torch.where((first == 2) & (torch.arange(12) % 2 == 0), 3, first)
    agreement = found_again([first, second, third], 3)
    assert agreement[0].tolist() == pytest.approx([1, 1, 0.75])
    assert agreement[1].tolist() == pytest.approx([1, 0.75, 1])
    assert agreement[2].tolist() == pytest.approx([1, 1, 0.5])


def test_one_division_alone_agrees_with_itself():
    assert found_again([stripes(3)], 3)[0].tolist() == [1, 1, 1]


@given(st.integers(0, 10_000))
def test_agreement_equals_a_slow_loop(seed):
    generator = torch.Generator().manual_seed(seed)
    one, other = (torch.randint(0, 4, (2, 3, 3), generator=generator) for _ in range(2))
    expected = []
    for region in range(3):
        overlaps = [
            ((one == region) & (other == b)).sum() / max(1, int(((one == region) | (other == b)).sum()))
            for b in range(3)
        ]
        expected.append(float(max(overlaps)))
    assert found_again([one, other], 3)[0].tolist() == pytest.approx(expected)


def test_the_division_with_the_best_regions_is_kept():
    worth = torch.tensor([[0.9, 0.1, 0.1], [0.2, 0.5, 0.6]])
    best, chosen = best_regions(worth, 2)
    assert (best, chosen.tolist()) == (1, [2, 1])
    assert best_regions(worth, 1)[0] == 0


def test_regions_that_tell_next_to_nothing_beside_the_best_are_named():
    ratios = torch.tensor([0.02, 0.4, 0.0, 0.1])
    assert tells_classes(ratios, torch.tensor([1, 3, 0])).tolist() == [True, True, False]
    assert tells_classes(torch.zeros(3), torch.arange(3)).all(), "where none tells anything none is worse"
