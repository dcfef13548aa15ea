"""The rules for boxes, on maps whose boxes are known."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from protoexplain.data.geometry import Box
from protoexplain.errors import UserError
from protoexplain.explain.box_rules import BestCell, Percentile, ReceptiveFieldOfCell, ShareOfMaximum, parse_box_rule
from protoexplain.explain.boxes import high_activation_box, upsample
from protoexplain.explain.receptive_field import receptive_field

SIZE = 32


def peak(row, column, cells=4, low=-3.0, high=-1.0):
    """A map with one high cell; all values are negative."""
    values = torch.full((cells, cells), low)
    values[row, column] = high
    return values


def test_cell():
    assert BestCell()(torch.stack([peak(0, 1), peak(3, 2)]), SIZE) == [Box(8, 0, 16, 8), Box(16, 24, 24, 32)]


def test_receptive_field_is_that_of_the_best_cell():
    field = receptive_field([3], [8], [1], SIZE)
    assert field.cells == 4
    assert ReceptiveFieldOfCell({(4, 4): field})(peak(2, 1)[None], SIZE) == [field.box(2, 1)]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), share=st.floats(0, 1), shift=st.floats(-50, 50), factor=st.floats(0.1, 9))
def test_share_of_the_maximum_of_the_heat_map(seed, share, shift, factor):
    """A naive search over the pixels; neither the unit nor the zero of the similarity matters."""
    values = torch.rand(5, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    (box,) = ShareOfMaximum(share)((values * factor + shift)[None], SIZE)
    pixels = upsample(values, SIZE, SIZE)
    level = pixels.min() + share * (pixels.max() - pixels.min())
    inside = [(i, j) for i in range(SIZE) for j in range(SIZE) if pixels[i, j] >= level - 1e-9]
    rows, columns = [i for i, _ in inside], [j for _, j in inside]
    assert box == Box(min(columns), min(rows), max(columns) + 1, max(rows) + 1)


def test_a_flat_map_is_high_everywhere():
    assert ShareOfMaximum(1.0)(torch.full((1, 4, 4), 0.3), SIZE) == [Box(0, 0, SIZE, SIZE)]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("percentile", Percentile(95)),
        ("percentile:90.5", Percentile(90.5)),
        ("share", ShareOfMaximum(0.5)),
        ("share:0.25", ShareOfMaximum(0.25)),
        ("cell", BestCell()),
    ],
)
def test_rules_have_names(text, rule):
    assert parse_box_rule(text, lambda: pytest.fail("no field is needed")) == rule
    assert parse_box_rule(str(rule), lambda: pytest.fail("no field is needed")) == rule


def test_receptive_field_by_name():
    field = receptive_field([3], [8], [1], SIZE)
    rule = parse_box_rule("receptive-field", lambda: {(4, 4): field})
    assert rule == ReceptiveFieldOfCell({(4, 4): field})
    assert str(rule) == "receptive-field"


def test_percentile_is_the_published_box():
    values = torch.rand(6, 6)
    assert Percentile(90)(values[None], SIZE) == [high_activation_box(upsample(values, SIZE, SIZE), 90)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("percentil", "did you mean 'percentile'"),
        ("percentile:101", "from 0 to 100"),
        ("share:-0.1", "from 0 to 1"),
        ("share:half", "'half' is no level"),
        ("cell:3", "takes no level"),
        ("", "known: cell"),
    ],
)
def test_other_names_are_refused(text, words):
    with pytest.raises(UserError) as caught:
        parse_box_rule(text, lambda: None)
    assert words in str(caught.value)
