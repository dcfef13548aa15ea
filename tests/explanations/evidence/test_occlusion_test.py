"""Blanking boxes of a model that looks for the brightest pixel of a colour, in numbers that can be worked out."""

import json

import pytest
import torch
from tiny_runs import tiny_config, tiny_model
from toy_models import PLACES, SIDE, dots, forward, linear

from protoexplain.data.geometry import Box, Geometry
from protoexplain.explanations.evidence.local import explain_forward_pass
from protoexplain.explanations.evidence.match import matches
from protoexplain.explanations.evidence.occlusion_test import BoxOcclusionTest, occlusion_test
from protoexplain.explanations.forward_pass import run_forward
from protoexplain.models.registry import family_names
from protoexplain.regions.box_rules import BestCell, Percentile

EQUAL = [[1.0, 1.0, 1.0]] * 3


def tried(picture, rule=BestCell(), prototypes=(0, 1, 2), size=(SIDE, SIDE), box=None, **options):
    forward_pass = forward(linear(EQUAL), picture, size, box)
    (found,) = matches(forward_pass, [0], list(prototypes), rule)
    return occlusion_test(forward_pass, list(found.values()), **options)


def test_fall_to_the_mean_colour():
    """One red pixel of 0.9: without it the brightest red is that of the blanked pixel, the mean of the picture."""
    result = tried(dots(red=0.9))[0]
    assert result.similarity == pytest.approx(0.9)
    assert result.fall == pytest.approx(0.9 - 0.9 / 64)
    assert result.covers == 1 / 64
    assert all(fall == pytest.approx(0, abs=1e-7) or fall == result.fall for fall in result.random_falls)
    assert result.rank > 0.5
    assert result.warnings == ()


def test_a_second_place_as_good_makes_the_box_worth_nothing():
    picture = dots(red=0.9)
    picture[0, 6, 6] = 0.9
    result = tried(picture)[0]
    assert result.fall == 0
    assert result.warnings == ("blanking the box does not lower the similarity",)


def test_a_box_that_does_no_more_than_others_is_told():
    result = BoxOcclusionTest(0, (0, 0, 1, 1), 0.1, 1.0, 0.2, (0.1, 0.2, 0.3, 0.4))
    assert result.rank == (1 + 0.5) / 4
    assert result.random_mean == pytest.approx(0.25)
    assert result.warnings == ("blanking the box does no more than blanking random boxes of its size",)
    assert BoxOcclusionTest(0, (0, 0, 1, 1), 0.1, 1.0, 0.35, (0.1, 0.2, 0.3, 0.4)).warnings == ()


def test_a_box_over_most_of_the_picture_is_told():
    result = tried(dots(red=0.9), Percentile(0))[0]
    assert result.covers == 1
    assert result.rank == 0.5, "there is only one place for such a box"
    assert result.warnings[0] == "the box covers 100% of the picture"
    assert len(result.warnings) == 2


def test_all_boxes_are_tried_by_hand():
    """Against blanking each box by itself, in an image twice as large with a part cut out."""
    picture = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    found = tried(picture, size=(30, 30), box=Box(4, 8, 20, 24))
    assert list(found) == [0, 1, 2]
    for channel, result in found.items():
        x0, y0, x1, y1 = result.box
        blanked = picture.clone()
        blanked[:, int(y0 - 8) // 2 : int(y1 - 8) // 2, int(x0 - 4) // 2 : int(x1 - 4) // 2] = picture.mean(
            (1, 2), keepdim=True
        )
        assert result.fall == pytest.approx(float(picture[channel].max() - blanked[channel].max()), abs=1e-6)


def test_random_boxes_have_the_size_and_depend_on_the_seed():
    picture = dots(red=0.9, green=0.8, blue=0.7)
    one, same, other = (tried(picture, random_boxes=400, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    row, column = PLACES["red"][1:]
    assert one[0].box == (column, row, column + 1, row + 1)
    hits = sum(fall > 0.5 for fall in one[0].random_falls)
    assert 0 < hits < 30, "one of 64 places is the red one"


def test_without_random_boxes_nothing_can_be_told():
    with pytest.raises(ValueError, match="random"):
        tried(dots(red=0.9), random_boxes=0)


@pytest.mark.parametrize("family", family_names())
def test_every_family_in_batches_as_alone(family):
    picture = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(5))
    model = tiny_model(tiny_config(family))
    forward_pass = run_forward(model, picture, Geometry.of((64, 64), None, 64), ("A", "B", "C", "D"))
    shown = explain_forward_pass(forward_pass, rows=4).classes[0].found
    together = occlusion_test(forward_pass, shown, random_boxes=12)
    for match in shown:
        x0, y0, x1, y1 = (round(edge) for edge in match.box)
        blanked = picture.clone()
        blanked[:, y0:y1, x0:x1] = picture.mean((1, 2), keepdim=True)
        with torch.no_grad():
            after = model.activations(model.backbone(blanked[None]))[0, match.prototype]
        assert together[match.prototype].fall == pytest.approx(match.similarity - float(after), abs=1e-4)
        assert len(together[match.prototype].random_falls) == 12
    json.dumps([result.to_dict() for result in together.values()], allow_nan=False)
