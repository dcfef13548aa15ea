"""Prototypes that repeat each other, and those that mislead the eye."""

import numpy as np
import pytest
from measured import characteristics

from protoexplain.explanations.characteristics.appearance import likeness
from protoexplain.explanations.characteristics.pairs import Limits, Pair, find_pairs

LABELS = (0, 0, 0, 1)
VALUES = ((3.0, 0.2), (3.1, 0.2), (0.2, 3.0), (0.1, 3.0))
"""Prototypes 0 and 1 rest on the hue, 2 and 3 on the shape."""


def looks(**pairs):
    """All patches look half alike but those that are named, such as p01=0.9."""
    table = np.full((4, 4), 0.5)
    np.fill_diagonal(table, 1)
    for name, value in pairs.items():
        one, other = int(name[1]), int(name[2])
        table[one, other] = table[other, one] = value
    return table


def kinds(found):
    return [(pair.kind, pair.first, pair.second) for pair in found]


def test_redundant_misleading_and_hidden():
    found = characteristics(value=VALUES)
    assert kinds(find_pairs(found, LABELS, looks())) == []
    assert kinds(find_pairs(found, LABELS, looks(p01=0.9))) == [("redundant", 0, 1)]
    assert kinds(find_pairs(found, LABELS, looks(p01=0.1))) == [("hidden", 0, 1)]
    assert kinds(find_pairs(found, LABELS, looks(p02=0.9, p13=0.8))) == [("misleading", 0, 2), ("misleading", 1, 3)]
    assert kinds(find_pairs(found, LABELS, looks(p23=0.9))) == [], "of different classes"


def test_what_intervals_leave_open_is_not_claimed():
    unsure = characteristics(value=VALUES, width=2.0)
    assert kinds(find_pairs(unsure, LABELS, looks(p02=0.9))) == []
    apart = characteristics(value=((3.0, 0.2), (3.6, 0.25), (0.2, 3.0), (0.1, 3.0)))
    assert kinds(find_pairs(apart, LABELS, looks(p01=0.9))) == [], "alike in kind but surely not in size"


def test_unmeasured_prototypes_and_missing_patches_are_left_out():
    found = characteristics(value=((None, None), *VALUES[1:]))
    table = looks(p01=0.9, p02=0.9)
    assert kinds(find_pairs(found, LABELS, table)) == []
    table[1] = table[:, 1] = np.nan
    assert kinds(find_pairs(characteristics(value=VALUES), LABELS, table)) == [("misleading", 0, 2)]


def test_limits_can_be_set_and_the_most_striking_come_first():
    found = characteristics(value=VALUES)
    assert kinds(find_pairs(found, LABELS, looks(), Limits(looks_alike=0.4)))[0] == ("redundant", 0, 1)
    three = find_pairs(found, LABELS, looks(p02=0.8, p12=0.95, p13=0.9), Limits(most=2))
    assert kinds(three) == [("misleading", 1, 2), ("misleading", 1, 3)]


def test_pairs_speak():
    pair = Pair("misleading", 3, 8, 0.9, 0.1)
    assert pair.sentence == "prototypes 3 and 8 look alike but rest on different characteristics"
    assert pair.to_dict() == {"kind": "misleading", "first": 3, "second": 8, "look": 0.9, "explanation": 0.1}


def stripes(colour, across=False, size=(40, 60)):
    rows, columns = np.indices(size)
    light = np.where((columns if across else rows) // 5 % 2, 1.0, 0.5)[..., None]
    return (light * np.array(colour)).astype(np.uint8)


@pytest.fixture(scope="module")
def patches():
    green, red = (60, 200, 60), (220, 40, 40)
    return [
        stripes(green),
        np.repeat(np.repeat(stripes(green), 2, 0), 2, 1),
        stripes(red),
        stripes(green, across=True),
        None,
    ]


def test_likeness_follows_colour_and_edges(patches):
    table = likeness(patches)
    assert table.shape == (5, 5)
    known = table[:4, :4]
    np.testing.assert_allclose(np.diag(known), 1)
    np.testing.assert_allclose(known, known.T)
    assert ((known >= 0) & (known <= 1 + 1e-9)).all()
    assert np.isnan(table[4]).all()
    assert known[0, 1] > 0.9, "the same at twice the size"
    assert known[0, 2] < 0.3, "another colour"
    assert known[0, 3] < 0.6, "stripes the other way"
