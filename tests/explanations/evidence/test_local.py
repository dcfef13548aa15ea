"""Explanations add up for any picture, and their boxes lie where the model looked, in pixels of the source."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from explained_pictures import explain
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_runs import tiny_config, tiny_model
from toy_models import NAMES as TOY_NAMES
from toy_models import PLACES, dots, linear, reasoning

from protoexplain.checkpoint.prototypes import PrototypeRecord
from protoexplain.data.geometry import Box, Geometry
from protoexplain.errors import UserError
from protoexplain.explanations.characteristics.match_characteristics import MatchCharacteristics
from protoexplain.explanations.evidence.local import UNFAMILIAR
from protoexplain.models.calibration import Calibration
from protoexplain.models.registry import family_names
from protoexplain.regions.box_rules import BestCell

SIZE = 64
RESTS = MatchCharacteristics({"hue": 0.5}, None, "It rests on the hue.")
NAMES = ("Wren", "Robin", "Crow", "Tit")
MODELS = {name: tiny_model(tiny_config(name)) for name in family_names()}
seeds = st.integers(0, 2**31 - 1)


def noise(seed):
    """Smooth noise [3,S,S] in [0, 1]."""
    coarse = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, SIZE, mode="bilinear")[0]


def explained(family, seed=0, geometry=None, **options):
    geometry = geometry or Geometry.of((SIZE, SIZE), None, SIZE)
    return explain(MODELS[family], noise(seed), geometry, NAMES, **options)


@pytest.mark.parametrize("family", family_names())
@settings(max_examples=12, deadline=None)
@given(seed=seeds, rows=st.integers(1, 12))
def test_parts_add_up_to_the_scores(family, seed, rows):
    explanation = explained(family, seed, rows=rows, top_classes=4)
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
    everything = explained(family, rows=1000, top_classes=1).classes[0]
    few = explained(family, rows=3, top_classes=1).classes[0]
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
    explanation = explained("protopnet", labels=[2, 0])
    assert [(shown.label, shown.name) for shown in explanation.classes] == [(2, "Crow"), (0, "Wren")]
    assert len(explanation.predictions) == 4


def test_only_reasoning_and_trees_have_evidence_by_absence():
    for family in family_names():
        missing = explained(family).classes[0].missing
        assert bool(missing) == (family in ("cbc", "shallow_cbc", "prototree"))
        assert all(match.absence > 0 for match in missing) or family == "prototree"


@given(x=st.integers(0, 80), y=st.integers(0, 60), width=st.integers(10, 120), height=st.integers(10, 120), seed=seeds)
@settings(max_examples=20, deadline=None)
def test_boxes_are_those_of_the_whole_picture_moved_into_the_crop(x, y, width, height, seed):
    plain = explained("protopnet", seed)
    geometry = Geometry.of((200, 180), Box(x, y, x + width, y + height), SIZE)
    cropped = explained("protopnet", seed, geometry)
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
    explanation = explained(family, 3, rows=1000)
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


# ---------------------------------------------------------------------- in numbers that can be worked out on paper


def toy(model, picture, **options):
    geometry = Geometry.of((16, 24), Box(0, 8, 16, 24), 8)
    return explain(model, picture, geometry, TOY_NAMES, **options)


def test_linear_head_on_paper():
    weights = [[2.0, -1.0, 0.5], [1.0, 3.0, 0.0], [0.0, 0.0, 0.0]]
    explanation = toy(linear(weights), dots(red=0.9, green=0.2, blue=0.4), rows=2, top_classes=1)
    (shown,) = explanation.classes
    assert (shown.name, shown.score) == ("Wren", pytest.approx(1.8))
    assert [(m.prototype, m.presence) for m in shown.found] == [(0, pytest.approx(1.8)), (1, pytest.approx(-0.2))]
    assert shown.remainder == pytest.approx(0.2)
    assert (shown.missing, shown.unwanted, shown.lacking, shown.disagreement()) == ((), (), (), None)
    assert shown.found[0].similarity == pytest.approx(0.9)
    assert [m.prototype_label for m in shown.found] == [0, 1]


def test_evidence_against_the_usual_image_on_paper():
    """Mean weights 1, 2/3, 1/6 and mean score 1.1 leave Wren 1.8 - 1.1; with usual activations 0.5, 0.5 and 0.1,
    evidence is 0.4 x 1, -0.3 x -5/3 and 0.3 x 1/3, and an average image gets the rest."""
    weights = [[2.0, -1.0, 0.5], [1.0, 3.0, 0.0], [0.0, 0.0, 0.0]]
    model = linear(weights, usual=[0.5, 0.5, 0.1])
    explanation = toy(model, dots(red=0.9, green=0.2, blue=0.4), rows=2, top_classes=3)
    shown = explanation.classes[0]
    assert (shown.name, shown.score) == ("Wren", pytest.approx(0.7))
    assert [(m.prototype, m.presence) for m in shown.found] == [(1, pytest.approx(0.5)), (0, pytest.approx(0.4))]
    assert [m.usual for m in shown.found] == pytest.approx([0.5, 0.5])
    assert [m.heat_range for m in shown.found] == [(0, 1), (0, 1)]
    assert shown.remainder == pytest.approx(0.1)
    assert shown.bias == pytest.approx(0.5 - 0.5 * 5 / 3 + 0.1 / 3)
    assert sum(one.score for one in explanation.classes) == pytest.approx(0, abs=1e-6)
    assert explanation.check() < 1e-6
    assert explanation.to_dict()["evidence"] == explanation.evidence == "shapley"
    plain = toy(linear(weights), dots(red=0.9, green=0.2, blue=0.4), top_classes=3)
    assert [one.probability for one in explanation.classes] == [one.probability for one in plain.classes]
    assert (plain.evidence, plain.classes[0].found[0].usual, plain.classes[0].found[0].heat_range) == (
        "product",
        None,
        None,
    )


def test_places_on_paper():
    """8 x 8 cells lie over the lower 16 x 16 pixels of the image: two pixels a cell."""
    explanation = toy(linear([[1.0, 1.0, 1.0]] * 3), dots(red=0.9, green=0.5, blue=0.4), box_rule=BestCell())
    for match, (_, row, column) in zip(explanation.classes[0].found, PLACES.values(), strict=True):
        assert match.cell == (row, column)
        assert match.peak == (2 * column + 1, 8 + 2 * row + 1)
        assert match.box == (2 * column, 8 + 2 * row, 2 * column + 2, 8 + 2 * row + 2)
    assert explanation.box_rule == "cell"
    assert toy(linear([[1.0, 1.0, 1.0]] * 3), dots()).box_rule == "peak:95"


def test_four_kinds_of_reasoning_on_paper():
    positive = [[0.5, 0.1, 0.2], [0.1, 0.3, 0.2], [0.05, 0.05, 0.05]]
    negative = [[0.1, 0.4, 0.3], [0.2, 0.1, 0.2], [0.05, 0.05, 0.05]]
    explanation = toy(reasoning(positive, negative), dots(red=0.8, green=0.1), rows=2, labels=[0])
    (shown,) = explanation.classes
    assert [(m.prototype, m.presence) for m in shown.found] == [(0, pytest.approx(0.4)), (1, pytest.approx(0.01))]
    assert [(m.prototype, m.absence) for m in shown.missing] == [(1, pytest.approx(0.18)), (2, pytest.approx(0.05))]
    assert [(m.prototype, m.unwanted) for m in shown.unwanted] == [(0, pytest.approx(0.08)), (1, pytest.approx(0.02))]
    assert [(m.prototype, m.lacking) for m in shown.lacking] == [(0, pytest.approx(0.1)), (1, pytest.approx(0.09))]
    assert shown.remainder == pytest.approx(0.02)
    assert shown.disagreement_remainder == pytest.approx(0.05)
    assert shown.score == shown.probability == pytest.approx(0.4 + 0.01 + 0.18 + 0.05 + 0.02)
    assert shown.total() + shown.disagreement() == pytest.approx(1)
    assert explanation.check() < 1e-6


def test_evidence_is_that_of_the_best_concept_of_each_class():
    """A wren is red, or green without red; a robin is not green; a crow is none of this."""
    positive = [[0.8, 0.0, 0.0, 0.0, 0.1, 0.1], [0.1, 0.7, 0.0, 0.0, 0.1, 0.1]]
    negative = [[0.05, 0.2, 0.5, 0.1, 0.4, 0.4], [0.05, 0.1, 0.5, 0.9, 0.4, 0.4]]
    model = reasoning(positive, negative)
    for picture, concept in ((dots(red=0.9), 0), (dots(green=0.9), 1)):
        shown = toy(model, picture, labels=[0]).classes[0]
        red, green = picture[0].max().item(), picture[1].max().item()
        found = {match.prototype: match.presence for match in shown.found}
        assert found == {p: pytest.approx(positive[p][concept] * (red, green)[p]) for p in (0, 1)}
        missing = {one.prototype: one.absence for one in shown.missing}
        assert missing == {p: pytest.approx(negative[p][concept] * (1 - (red, green)[p])) for p in (0, 1)}
        assert shown.score == pytest.approx(sum(found.values()) + sum(missing.values()))


def test_check_finds_parts_that_do_not_add_up():
    explanation = toy(reasoning([[0.5] * 3], [[0.5] * 3]), dots(red=0.8), top_classes=1)
    (shown,) = explanation.classes
    assert replace(explanation, classes=(replace(shown, remainder=0.1),)).check() == pytest.approx(0.1)
    assert replace(explanation, classes=(replace(shown, disagreement_remainder=0.1),)).check() == pytest.approx(0.1)


def test_patches_come_from_the_records():
    records = [PrototypeRecord(i, "main", i, i, image_id=f"{i}.png", row=1, column=2) for i in range(3)]
    explanation = toy(linear(np.eye(3).tolist()), dots(red=0.9), records=records)
    assert [m.patch for m in explanation.classes[0].found] == records
    assert explanation.to_dict()["classes"][0]["found"][1]["patch"]["image_id"] == "1.png"


def test_characteristics_are_added_wherever_the_prototype_is_shown():
    plain = toy(reasoning([[0.3] * 3, [0.2] * 3], [[0.1] * 3, [0.4] * 3]), dots(red=0.8, green=0.3))
    told = plain.with_characteristics({1: RESTS})
    for before, shown in zip(plain.classes, told.classes, strict=True):
        for kind in ("found", "missing", "unwanted", "lacking"):
            for old, new in zip(getattr(before, kind), getattr(shown, kind), strict=True):
                assert new.characteristics == (RESTS if new.prototype == 1 else None)
                assert replace(new, characteristics=None) == old
    assert told.check() == plain.check()


def test_unknown_class_is_refused():
    with pytest.raises(UserError, match="no class number 3"):
        toy(linear(np.eye(3).tolist()), dots(), labels=[3])


@pytest.mark.parametrize("family", family_names())
def test_a_picture_that_resembles_nothing_is_said_to(family):
    """Thresholds far below and far above what the scores give; without any nothing is said."""
    model = MODELS[family]
    assert explained(family).familiar is None
    for threshold, familiar in ((-1e6, True), (1e6, False)):
        model.calibration = Calibration(1.0, torch.full((len(NAMES),), threshold, dtype=torch.float64), 9)
        explanation = explained(family)
        model.calibration = None
        assert explanation.familiar is familiar
        assert (UNFAMILIAR in explanation.notices) == (not familiar)


@pytest.mark.parametrize("family", ["protopnet", "pipnet", "st_protopnet", "cbc"])
def test_temperature_changes_probabilities_but_neither_scores_nor_their_order(family):
    model, before = MODELS[family], explained(family)
    model.calibration = Calibration(3.0, torch.zeros(len(NAMES), dtype=torch.float64), 9)
    after = explained(family)
    model.calibration = None
    assert [entry.label for entry in after.predictions] == [entry.label for entry in before.predictions]
    assert [entry.score for entry in after.predictions] == [entry.score for entry in before.predictions]
    assert after.predictions[0].probability < before.predictions[0].probability
    assert sum(entry.probability for entry in after.predictions) == pytest.approx(1)
