"""What explanations of every registered family have to keep: evidence adds up, whatever is shown of it."""

import copy
import json

import jsonschema
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_runs import tiny_config, tiny_model

from protoexplain.data.geometry import Geometry
from protoexplain.explanations.evidence.contrast import contrast
from protoexplain.explanations.evidence.counterfactual import what_would_change
from protoexplain.explanations.evidence.local import SCHEMA_VERSION, explain_forward_pass
from protoexplain.explanations.forward_pass import run_forward
from protoexplain.models.activation_statistics import RunningStatistics
from protoexplain.models.registry import family_names
from protoexplain.report.schema import explanation_schema

SIZE = 64
NAMES = ("Wren", "Robin", "Crow", "Tit")
ADDS_UP = 1e-5
MODELS = {name: tiny_model(tiny_config(name)) for name in family_names()}
SCHEMA = jsonschema.Draft202012Validator(explanation_schema())
seeds = st.integers(0, 2**31 - 1)


@pytest.fixture(params=family_names(), scope="module")
def family(request):
    return request.param


def random_forward_pass(family, seed):
    """A random picture, random weights of the heads, and in every second model random statistics."""
    generator, model = torch.Generator().manual_seed(seed), copy.deepcopy(MODELS[family])
    with torch.no_grad():
        for _, branch in model.named_branches():
            for parameter in branch.head.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    picture, other = torch.rand(2, 3, SIZE, SIZE, generator=generator)
    if seed % 2:
        running = RunningStatistics(1)
        running.update([maps.detach() for maps in model.activation_maps(model.backbone(other[None]))])
        model.set_statistics(running.statistics())
    return run_forward(model, picture, Geometry.of((90, 70), None, SIZE), NAMES)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, rows=st.integers(0, 20))
def test_parts_of_a_score_add_up(family, seed, rows):
    """Found and missing as expected to the score; with found but unwanted and missing though wanted to one."""
    forward_pass = random_forward_pass(family, seed)
    explanation = explain_forward_pass(forward_pass, top_classes=4, rows=rows)
    assert explanation.check() <= ADDS_UP
    for shown in explanation.classes:
        score = float(forward_pass.scores[shown.label])
        agreed = sum(m.presence for m in shown.found) + sum(m.absence for m in shown.missing)
        assert agreed + shown.remainder + shown.bias == pytest.approx(score, rel=ADDS_UP, abs=ADDS_UP)
        lost = [m.unwanted for m in shown.unwanted] + [m.lacking for m in shown.lacking]
        if shown.disagreement_remainder is None:
            assert lost == []
            assert all(m.unwanted is None and m.lacking is None for m in (*shown.found, *shown.missing))
        else:
            assert sum(lost) + shown.disagreement_remainder == pytest.approx(1 - score, abs=ADDS_UP)
            assert min(lost, default=0) >= 0
            every = [m.presence + m.absence + m.unwanted + m.lacking for m in shown.found]
            assert sum(every) <= 1 + ADDS_UP


@settings(max_examples=10, deadline=None)
@given(seed=seeds, rows=st.integers(0, 20), pair=st.permutations(range(4)))
def test_parts_of_a_lead_add_up(family, seed, rows, pair):
    forward_pass, (this, other, *_) = random_forward_pass(family, seed), pair
    found = contrast(forward_pass, this, other, rows)
    lead = float(forward_pass.scores[this] - forward_pass.scores[other])
    shown = sum(separation.difference for separation in found.separations)
    assert shown + found.remainder + found.bias == pytest.approx(lead, rel=ADDS_UP, abs=ADDS_UP)
    assert found.check() <= ADDS_UP
    assert len(found.separations) == min(rows, forward_pass.model.num_prototypes)


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_what_would_change_turns_the_prediction(family, seed):
    forward_pass = random_forward_pass(family, seed)
    change = what_would_change(forward_pass)
    if change is None:
        return
    activations = forward_pass.activations.float()[None].clone()
    removed = [removal.match.prototype for removal in change.removed]
    activations[0, removed] = forward_pass.model.baseline_activations()[removed]
    scores = forward_pass.model.from_activations(activations).logits[0]
    assert int(scores.argmax()) == change.outcome.label != forward_pass.ranked[0]
    assert change.check() <= ADDS_UP
    assert change.lead > 0 > change.lead_after


def test_json_keeps_to_its_schema(family):
    explanation = explain_forward_pass(random_forward_pass(family, 0), image="x.jpg", notices=("turned upright",))
    content = json.loads(json.dumps(explanation.to_dict(), allow_nan=False))
    SCHEMA.validate(content)
    assert content["schema"] == SCHEMA_VERSION
    del content["classes"][0]["found"][0]["peak"]
    assert [error.message for error in SCHEMA.iter_errors(content)] == ["'peak' is a required property"]


def test_model_is_left_alone(family):
    forward_pass = random_forward_pass(family, 1)
    before = {name: tensor.clone() for name, tensor in forward_pass.model.state_dict().items()}
    explain_forward_pass(forward_pass)
    contrast(forward_pass)
    what_would_change(forward_pass)
    assert all(torch.equal(tensor, before[name]) for name, tensor in forward_pass.model.state_dict().items())
    assert all(parameter.grad is None for parameter in forward_pass.model.parameters())
