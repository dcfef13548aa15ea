"""The rules for boxes, on maps whose boxes are known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import find_objects, label

from protoexplain.data.geometry import Box
from protoexplain.errors import UserError
from protoexplain.regions.box_rules import (
    DEFAULT,
    BestCell,
    PeakComponent,
    Percentile,
    ReceptiveFieldOfCell,
    ShareOfMaximum,
    parse_box_rule,
)
from protoexplain.regions.boxes import high_activation_boxes, upsample
from protoexplain.regions.receptive_field import receptive_field

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


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), level=st.floats(0, 100))
def test_the_component_of_the_peak(seed, level):
    """By the labels of another library; pixels that touch at a corner are connected."""
    values = torch.rand(6, 6, generator=torch.Generator().manual_seed(seed))
    (box,) = PeakComponent(level)(values[None], SIZE)
    pixels = upsample(values, SIZE, SIZE).numpy()
    components, _ = label(pixels >= np.percentile(pixels, level), np.ones((3, 3)))
    rows, columns = find_objects(components)[components.flat[pixels.argmax()] - 1]
    assert box == Box(columns.start, rows.start, columns.stop, rows.stop)


def test_a_second_place_makes_the_published_box_large_and_not_that_of_the_peak():
    values = torch.zeros(8, 8)
    values[1, 1], values[6, 6] = 1.0, 0.9
    (alone,), (published,) = DEFAULT(values[None], 64), Percentile()(values[None], 64)
    assert alone.contains(12, 12)
    assert alone.area < 0.06 * 64 * 64
    assert published.area > 0.4 * 64 * 64
    assert str(DEFAULT) == "peak:95"


def test_a_flat_map_is_high_everywhere():
    assert PeakComponent()(torch.full((1, 4, 4), 0.3), SIZE) == [Box(0, 0, SIZE, SIZE)]
    assert ShareOfMaximum(1.0)(torch.full((1, 4, 4), 0.3), SIZE) == [Box(0, 0, SIZE, SIZE)]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("peak", PeakComponent(95)),
        ("peak:80", PeakComponent(80)),
        ("published", Percentile(95)),
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
    assert Percentile(90)(values[None], SIZE) == high_activation_boxes(upsample(values, SIZE, SIZE)[None], 90)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("percentil", "did you mean 'percentile'"),
        ("percentile:101", "from 0 to 100"),
        ("share:-0.1", "from 0 to 1"),
        ("share:half", "'half' is no level"),
        ("cell:3", "takes no level"),
        ("published:90", "takes no level"),
        ("peak:-1", "from 0 to 100"),
        ("", "known: cell"),
    ],
)
def test_other_names_are_refused(text, words):
    with pytest.raises(UserError) as caught:
        parse_box_rule(text, lambda: None)
    assert words in str(caught.value)
