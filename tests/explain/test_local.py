"""Explanations add up for any picture, and their boxes lie where the model looked, in pixels of the source."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_runs import tiny_config, tiny_model

from protoexplain.data.geometry import Box, Geometry
from protoexplain.explain.local import explain
from protoexplain.models.registry import family_names

SIZE = 64
NAMES = ("Wren", "Robin", "Crow", "Tit")
MODELS = {name: tiny_model(tiny_config(name)) for name in family_names()}
seeds = st.integers(0, 2**31 - 1)


def noise(seed):
    """Smooth noise [3,S,S] in [0, 1]."""
    coarse = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, SIZE, mode="bilinear")[0]


def told(family, seed=0, geometry=None, **options):
    geometry = geometry or Geometry.of((SIZE, SIZE), None, SIZE)
    return explain(MODELS[family], noise(seed), geometry, NAMES, **options)


@pytest.mark.parametrize("family", family_names())
@settings(max_examples=12, deadline=None)
@given(seed=seeds, rows=st.integers(1, 12))
def test_parts_add_up_to_the_scores(family, seed, rows):
    explanation = told(family, seed, rows=rows, top_classes=4)
    model, logits = MODELS[family], MODELS[family](noise(seed)[None]).logits[0].detach()
    assert explanation.check() <= 1e-4
    for shown in explanation.classes:
        assert shown.total() == pytest.approx(float(logits[shown.label]), abs=1e-4)
        assert len(shown.found) == min(rows, model.num_prototypes)
        assert all(match.evidence == match.presence + match.absence for match in shown.found)
    ranked = [prediction.label for prediction in explanation.predictions]
    assert ranked == logits.argsort(descending=True).tolist()
    assert [prediction.name for prediction in explanation.predictions] == [NAMES[label] for label in ranked]
    json.dumps(explanation.to_dict(), allow_nan=False)


@pytest.mark.parametrize("family", family_names())
def test_rows_are_the_strongest_prototypes(family):
    everything = told(family, rows=1000, top_classes=1).classes[0]
    few = told(family, rows=3, top_classes=1).classes[0]
    assert [match.prototype for match in few.found] == [match.prototype for match in everything.found][:3]
    sizes = [abs(match.presence) for match in everything.found]
    assert sizes == sorted(sizes, reverse=True)
    assert few.remainder == pytest.approx(
        sum(m.presence for m in everything.found[3:])
        + sum(m.absence for m in everything.missing[3:])
        + everything.remainder,
        abs=1e-5,
    )


def test_named_classes_are_explained_in_their_order():
    explanation = told("protopnet", labels=[2, 0])
    assert [(shown.label, shown.name) for shown in explanation.classes] == [(2, "Crow"), (0, "Wren")]
    assert len(explanation.predictions) == 4


def test_only_reasoning_has_evidence_by_absence():
    for family in family_names():
        missing = told(family).classes[0].missing
        assert bool(missing) == (family == "cbc")
        assert all(match.absence > 0 for match in missing)


@given(x=st.integers(0, 80), y=st.integers(0, 60), width=st.integers(10, 120), height=st.integers(10, 120), seed=seeds)
@settings(max_examples=20, deadline=None)
def test_boxes_are_those_of_the_whole_picture_moved_into_the_crop(x, y, width, height, seed):
    plain = told("protopnet", seed)
    geometry = Geometry.of((200, 180), Box(x, y, x + width, y + height), SIZE)
    cropped = told("protopnet", seed, geometry)
    pairs = zip(plain.classes[0].found, cropped.classes[0].found, strict=True)
    for inside, outside in pairs:
        assert inside.cell == outside.cell
        x0, y0, x1, y1 = inside.box
        expected = (x + x0 * width / SIZE, y + y0 * height / SIZE, x + x1 * width / SIZE, y + y1 * height / SIZE)
        assert outside.box == pytest.approx(expected)
        assert x <= outside.box[0] < outside.box[2] <= x + width
        assert y <= outside.box[1] < outside.box[3] <= y + height


@pytest.mark.parametrize("family", family_names())
def test_box_surrounds_the_best_cell(family):
    """The centre of the winning cell is among the top 5 % of the upsampled map, unless a neighbour outshines it."""
    explanation = told(family, 3, rows=1000)
    inside = []
    for match in explanation.classes[0].found:
        heat = explanation.heat(match.prototype, SIZE, SIZE)
        assert heat.shape == (SIZE, SIZE)
        cells = explanation.maps[match.prototype]
        assert divmod(int(cells.argmax()), cells.shape[1]) == match.cell
        assert float(cells.max()) == pytest.approx(match.similarity, abs=1e-4)
        row, column = np.unravel_index(heat.argmax(), heat.shape)
        x0, y0, x1, y1 = match.box
        assert x0 <= column < x1
        assert y0 <= row < y1
        step = SIZE / cells.shape[0]
        inside.append(Box(*match.box).contains((match.cell[1] + 0.5) * step, (match.cell[0] + 0.5) * step))
    assert sum(inside) >= 0.5 * len(inside)
