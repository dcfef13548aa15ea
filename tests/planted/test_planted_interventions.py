"""Planted birds drawn again: the same file without a change, and otherwise changed in one place alone."""

import numpy as np
import pytest

from protoexplain.data.class_parts import members_of
from protoexplain.data.interventions import Removal
from protoexplain.data.read import read_image_set
from protoexplain.errors import UserError
from protoexplain.io.images import load_image
from protoexplain.planted import draw
from protoexplain.planted.classes import REGIONS, plan
from protoexplain.planted.interventions import FRONT, PlantedInterventions
from protoexplain.planted.picture import Changes, Prop, render

CLASSES, SIZE = 4, 96


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    root = tmp_path_factory.mktemp("planted") / "birds"
    draw(root, classes=CLASSES, train_per_class=2, test_per_class=2, size=SIZE)
    return read_image_set(root)


@pytest.fixture(scope="module")
def source(birds):
    return PlantedInterventions(birds.root)


def changed(one, other, by=24):
    """bool [H,W]: where pictures differ."""
    return np.abs(one.astype(int) - other).max(2) > by


def test_without_a_change_it_is_the_file(birds, source):
    for record in birds.records:
        assert np.array_equal(source.image(record, Removal()), load_image(record.path).rgb)


@pytest.mark.parametrize("part", range(len(REGIONS)))
def test_only_the_part_changes(birds, source, part):
    """Near the part; that a wing casts a shadow and a trunk is round reaches a little further."""
    record = birds.split("test")[0]
    whole, labels = source.image(record, Removal()), source.part_map(record).labels
    difference = changed(source.image(record, Removal(1 << part)), whole)
    own = labels == part + 1
    assert own.any()
    assert difference[own].mean() > 0.3, "it is gone"
    rows, columns = np.nonzero(own)
    near = np.zeros_like(own)
    near[max(rows.min() - 9, 0) : rows.max() + 10, max(columns.min() - 9, 0) : columns.max() + 10] = True
    assert difference[~near].mean() < 2e-3


def test_surroundings_change_behind_the_bird(birds, source):
    record = birds.split("test")[0]
    whole, labels = source.image(record, Removal()), source.part_map(record).labels
    scenery = changed(source.image(record, Removal(item=Prop.SCENERY)), whole)
    behind, bird = labels == len(REGIONS) + 1 + Prop.SCENERY, (labels >= 1) & (labels <= len(REGIONS))
    assert scenery[behind].mean() > 0.5 > 10 * scenery[bird].mean()
    perch = changed(source.image(record, Removal(item=Prop.PERCH)), whole)
    assert perch[labels == len(REGIONS) + 1 + Prop.PERCH].mean() > 0.3
    assert perch[behind].mean() < 0.1


def test_something_in_front_is_lifted_off():
    """Some pictures have nothing in front of the bird; those that have show the bird behind it."""
    bird, found = plan(2, 0).birds[0], 0
    for seed in range(12):
        whole, clear = (render(bird, seed, SIZE, Changes(foreground=shown)) for shown in (True, False))
        covered = whole.props == Prop.FOREGROUND
        found += bool(covered.any())
        assert not (clear.props == Prop.FOREGROUND).any()
        assert clear.mask.sum() >= whole.mask.sum()
        assert not (changed(whole.image, clear.image) & ~covered).mean() > 0.05
    assert 4 < found < 12


def test_classes_are_told_apart_by_the_planted_region(birds, source):
    for twins in plan(CLASSES, 0).twins:
        for label in twins.classes:
            sets = source.class_parts.minimal_sufficient_sets(label)
            assert [members_of(parts) for parts in sets] == [[REGIONS.index(twins.region)]]


def test_contrast_is_a_bird_of_two_classes(birds, source):
    front = sum(1 << REGIONS.index(region) for region in FRONT)
    first, second = birds.split("test")[:2]
    one, other = source.contrast(first), source.contrast(second)
    assert one.classes == other.classes == (0, 2)
    assert one.hybrid
    assert {one.shared[0], other.shared[0]} == {front, (1 << len(REGIONS)) - 1 - front}
    whole, hybrid = source.image(first, Removal()), source.image(first, Removal(hybrid=True))
    assert changed(whole, hybrid).any()
    swapped = source.image(first, Removal(one.shared[1], hybrid=True))
    assert not np.array_equal(swapped, hybrid)


def test_two_classes_have_no_contrast(tmp_path):
    draw(tmp_path / "two", classes=2, train_per_class=1, test_per_class=1, size=32)
    record = read_image_set(tmp_path / "two").records[0]
    assert PlantedInterventions(tmp_path / "two").contrast(record) is None


def test_damaged_settings_are_named(tmp_path):
    (tmp_path / "planted.json").write_text("{}")
    with pytest.raises(UserError, match="the settings of the drawing cannot be read"):
        PlantedInterventions(tmp_path)
