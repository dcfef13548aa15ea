"""The smallest set of prototypes without which another class is predicted: compared with all sets there are."""

import itertools
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_runs import tiny_config, tiny_model
from toy_models import dots, forward, linear, reasoning

from protoexplain.data.geometry import Geometry
from protoexplain.errors import UserError
from protoexplain.explanations.evidence.counterfactual import what_would_change
from protoexplain.explanations.forward_pass import run_forward
from protoexplain.models.registry import family_names
from protoexplain.view.sentences import about_change

MODELS = {name: tiny_model(tiny_config(name)) for name in family_names()}


def test_one_prototype_carries_the_lead():
    """Wren 1.8, Robin 1.5, Crow 0.4; without red Wren falls to 0, Robin to 0.6: Robin."""
    weights = [[2.0, -1.0, 0.5], [1.0, 3.0, 0.0], [0.0, 0.0, 1.0]]
    change = what_would_change(forward(linear(weights), dots(red=0.9, green=0.2, blue=0.4)))
    assert (change.predicted.name, change.rival.name, change.outcome.name) == ("Wren", "Robin", "Robin")
    assert [removal.match.prototype for removal in change.removed] == [0]
    assert change.removed[0].effect == pytest.approx(0.9)
    assert change.lead == pytest.approx(0.3)
    assert (change.predicted_after.score, change.rival_after.score) == pytest.approx((0.0, 0.6))
    assert change.lead_after == pytest.approx(-0.6)
    assert change.check() < 1e-6
    json.dumps(change.to_dict(), allow_nan=False)


def test_not_found_is_not_forgotten():
    """A component that is not found counts as missing, which some classes expect: N enters where P leaves."""
    positive = [[0.6, 0.1, 0.1], [0.1, 0.2, 0.1]]
    negative = [[0.1, 0.5, 0.3], [0.2, 0.2, 0.5]]
    change = what_would_change(forward(reasoning(positive, negative), dots(red=1.0, green=0.5)))
    assert [removal.match.prototype for removal in change.removed] == [0]
    assert change.predicted.score == pytest.approx(0.6 + 0.5 * (0.1 + 0.2))
    assert change.predicted_after.score == pytest.approx(0.1 + 0.5 * (0.1 + 0.2))
    assert change.outcome.name == change.rival.name == "Robin"
    assert change.outcome.score == pytest.approx(0.5 + 0.5 * (0.2 + 0.2))


def test_without_a_prototype_means_as_usual():
    """Wren 1.8, Robin 1.5; with red as usual, 0.7, Wren has 1.4 and Robin 1.3; with 0.5 they have 1.0 and 1.1."""
    weights = [[2.0, -1.0, 0.5], [1.0, 3.0, 0.0], [0.0, 0.0, 1.0]]
    for usual, turned in ((0.7, False), (0.5, True)):
        model = linear(weights, usual=[usual, 0.2, 0.4])
        change = what_would_change(forward(model, dots(red=0.9, green=0.2, blue=0.4)), rival=1)
        assert (change is not None) == turned
    assert change.as_usual
    assert [removal.match.prototype for removal in change.removed] == [0]
    assert change.removed[0].effect == pytest.approx(0.4)
    assert change.lead_after == pytest.approx(-0.1)
    assert change.check() < 1e-6
    assert about_change(change) == "With prototype 0 as in an average image the model would say Robin."


def test_nothing_would_change_a_lead_that_no_prototype_carries():
    weights = [[0.0, 0.0, 0.0], [-1.0, -1.0, -1.0], [-1.0, -1.0, -2.0]]
    assert what_would_change(forward(linear(weights), dots(red=0.9, green=0.2, blue=0.4))) is None


def test_a_third_class_may_win():
    """Asked for Crow, but without red and blue Robin leads."""
    weights = [[3.0, 0.0, 1.0], [0.0, 2.0, 0.0], [0.0, 1.0, 0.0]]
    change = what_would_change(forward(linear(weights), dots(red=1, green=1, blue=1)), rival=2)
    assert [removal.match.prototype for removal in change.removed] == [0, 2]
    assert (change.rival.name, change.outcome.name) == ("Crow", "Robin")
    assert change.lead_after == -1


@pytest.mark.parametrize("rival", [0, 3])
def test_rivals_that_cannot_be(rival):
    with pytest.raises(UserError):
        what_would_change(forward(linear(torch.eye(3).tolist()), dots(red=1)), rival=rival)


def every_removal(forward_pass):
    """For each set of prototypes, by size: the set and the class that is predicted without it."""
    count = len(forward_pass.activations)
    sets = [chosen for size in range(count + 1) for chosen in itertools.combinations(range(count), size)]
    activations = forward_pass.activations.float().repeat(len(sets), 1)
    for row, chosen in enumerate(sets):
        activations[row, list(chosen)] = 0
    with torch.no_grad():
        logits = forward_pass.model.from_activations(activations).logits
    return sets, logits


@pytest.mark.parametrize("family", family_names())
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), rival=st.integers(0, 2))
def test_no_smaller_set_turns_the_prediction(family, seed, rival):
    model, generator = MODELS[family], torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, branch in model.named_branches():
            for parameter in branch.head.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    picture = torch.rand(3, 64, 64, generator=generator)
    forward_pass = run_forward(model, picture, Geometry.of((64, 64), None, 64), ("A", "B", "C", "D"))
    sets, logits = every_removal(forward_pass)
    predicted = forward_pass.ranked[0]
    for asked in (None, forward_pass.ranked[1 + rival]):
        leads = logits[:, predicted] - (logits.max(1).values if asked is None else logits[:, asked])
        turning = [chosen for chosen, lead in zip(sets, leads.tolist(), strict=True) if lead < 0]
        change = what_would_change(forward_pass, asked)
        assert (change is None) == (not turning) or (change is None and not model.affine)
        if change is None:
            continue
        removed = tuple(sorted(removal.match.prototype for removal in change.removed))
        assert removed in turning
        assert len(removed) == len(turning[0]) or not model.affine
        assert change.outcome.label == int(logits[sets.index(removed)].argmax())
        assert change.check() < 1e-5
