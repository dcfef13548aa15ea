"""Why this class and not the other, in numbers that can be worked out on paper."""

import json

import pytest
from toy_models import dots, forward, linear, reasoning

from protoexplain.errors import UserError
from protoexplain.explanations.evidence.contrast import contrast, lead

WEIGHTS = [[2.0, -1.0, 0.5], [1.0, 3.0, 0.0], [0.0, 0.0, 0.0]]


def wren_or_robin(**options):
    """Scores: Wren 2 * 0.9 - 0.2 + 0.5 * 0.4 = 1.8, Robin 0.9 + 0.6 = 1.5, Crow 0."""
    return contrast(forward(linear(WEIGHTS), dots(red=0.9, green=0.2, blue=0.4)), **options)


def test_differences_of_a_linear_head():
    found = wren_or_robin()
    assert (found.this.name, found.other.name) == ("Wren", "Robin")
    assert found.difference == pytest.approx(0.3)
    assert [s.for_this.prototype for s in found.separations] == [0, 1, 2]
    assert [s.difference for s in found.separations] == pytest.approx([0.9, -0.8, 0.2])
    assert found.separations[1].for_this.presence == pytest.approx(-0.2)
    assert found.separations[1].for_other.presence == pytest.approx(0.6)
    assert (found.remainder, found.bias) == (0, 0)
    assert found.check() < 1e-6


def test_differences_against_the_usual_image_add_up_to_the_same_lead():
    """An average image has a lead of its own, which no prototype is responsible for."""
    found = contrast(forward(linear(WEIGHTS, usual=[0.5, 0.5, 0.1]), dots(red=0.9, green=0.2, blue=0.4)))
    assert found.difference == pytest.approx(0.3)
    assert [s.for_this.prototype for s in found.separations] == [1, 0, 2]
    assert [s.difference for s in found.separations] == pytest.approx([1.2, 0.4, 0.15])
    assert found.bias == pytest.approx(0.5 - 4 * 0.5 + 0.5 * 0.1)
    assert found.check() < 1e-6


def test_a_lead_is_what_chosen_prototypes_give_and_the_rest():
    forward_pass = forward(linear(WEIGHTS, usual=[0.5, 0.5, 0.1]), dots(red=0.9, green=0.2, blue=0.4))
    found = lead(forward_pass, 0, 1, [1, 2])
    assert found.difference == pytest.approx(0.3)
    assert found.parts == pytest.approx({1: 1.2, 2: 0.15})
    assert (found.given, found.rest) == pytest.approx((1.35, 0.4))
    assert found.bias == pytest.approx(0.5 - 4 * 0.5 + 0.5 * 0.1)
    assert found.total() == pytest.approx(found.difference)
    with pytest.raises(UserError, match="no class number 9"):
        lead(forward_pass, 0, 9, [])


def test_what_is_not_named_is_the_remainder():
    found = wren_or_robin(rows=1)
    assert found.remainder == pytest.approx(-0.8 + 0.2)
    assert found.total() == pytest.approx(0.3)


def test_the_other_way_round_is_the_negative():
    there, back = wren_or_robin(this=0, other=2), wren_or_robin(this=2, other=0)
    assert back.difference == -there.difference
    assert [s.difference for s in back.separations] == [-s.difference for s in there.separations]


def test_reasoning_separates_by_presence_and_absence():
    positive = [[0.5, 0.1, 0.2], [0.1, 0.3, 0.2]]
    negative = [[0.1, 0.4, 0.3], [0.3, 0.2, 0.3]]
    found = contrast(forward(reasoning(positive, negative), dots(red=0.8, green=0.1)), this=0, other=1)
    assert found.this.score == pytest.approx(0.8 * 0.5 + 0.2 * 0.1 + 0.1 * 0.1 + 0.9 * 0.3)
    first = found.separations[0]
    assert first.for_this.prototype == 0
    assert first.difference == pytest.approx((0.8 * 0.5 + 0.2 * 0.1) - (0.8 * 0.1 + 0.2 * 0.4))
    assert found.check() < 1e-6


def test_json_tells_the_differences():
    content = json.loads(json.dumps(wren_or_robin().to_dict()))
    assert content["difference"] == pytest.approx(0.3)
    assert [row["difference"] for row in content["separations"]] == pytest.approx([0.9, -0.8, 0.2])
    assert content["additive_error"] < 1e-6


@pytest.mark.parametrize(("this", "other"), [(0, 0), (3, 0), (0, -1)])
def test_classes_that_cannot_be_compared(this, other):
    with pytest.raises(UserError, match=r"itself|no class number"):
        wren_or_robin(this=this, other=other)
