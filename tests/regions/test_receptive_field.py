"""The analytic receptive field is where gradients arrive; padding can only make the true one smaller."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from protoexplain.regions.receptive_field import receptive_field

SIDE = 24
LAYERS = [
    st.integers(1, 5).flatmap(lambda k, p=p: st.tuples(st.just(k), st.integers(1, k), st.integers(0, p * k // 2)))
    for p in (0, 1)
]


@settings(max_examples=40, deadline=None)
@given(
    layers=st.one_of(*(st.lists(layer, min_size=1, max_size=3) for layer in LAYERS)),
    prototype=st.integers(1, 2),
    data=st.data(),
)
def test_it_is_where_the_gradient_is(layers, prototype, data):
    field = receptive_field(*zip(*layers, strict=True), SIDE, prototype)
    if field.cells < 1:
        return
    stack = nn.Sequential(*(nn.Conv2d(1, 1, k, s, p, bias=False) for k, s, p in [*layers, (prototype, 1, 0)]))
    for layer in stack:
        nn.init.ones_(layer.weight)
    image = torch.ones(1, 1, SIDE, SIDE, requires_grad=True)
    out = stack(image)[0, 0]
    assert out.shape == (field.cells, field.cells)
    row, column = (data.draw(st.integers(0, field.cells - 1)) for _ in range(2))
    out[row, column].backward()
    ys, xs = image.grad[0, 0].nonzero(as_tuple=True)
    box = field.box(row, column)
    assert all(box.contains(x, y) for x, y in zip(xs.tolist(), ys.tolist(), strict=True))
    if not any(padding for _, _, padding in layers):
        assert (box.y0, box.y1, box.x0, box.x1) == (ys.min(), ys.max() + 1, xs.min(), xs.max() + 1)


@pytest.mark.parametrize("length", [0, 2])
def test_lists_of_different_length_are_refused(length):
    with pytest.raises(ValueError, match="argument"):
        receptive_field([3], [1] * length, [1], SIDE)
