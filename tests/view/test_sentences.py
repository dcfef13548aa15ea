"""Sentences say what the numbers say."""

from dataclasses import replace

import pytest
import torch
from toy_models import dots, forward, linear, reasoning

from protoexplain.explanations.attribution.attribute import Attributions
from protoexplain.explanations.attribution.task import Target
from protoexplain.explanations.evidence.contrast import contrast
from protoexplain.explanations.evidence.counterfactual import what_would_change
from protoexplain.explanations.evidence.local import explain_forward_pass
from protoexplain.explanations.evidence.occlusion_test import BoxOcclusionTest
from protoexplain.view.attribution_sheet import by_fit, caption, error_table
from protoexplain.view.sentences import about_absence, about_blanking, about_change, about_contrast, about_fit


def test_blanked_box():
    test = BoxOcclusionTest(0, (0, 0, 1, 1), 0.1, 1.0, 0.35, (0.1, 0.2, 0.3, 0.4))
    assert about_blanking(test) == "Covering this part lowers the similarity by 0.35, more than 3 of 4 random boxes."
    assert about_blanking(replace(test, fall=-0.1)) == "Covering this part does not lower the similarity (+0.10)."


def test_change():
    weights = [[2.0, -1.0, 0.5], [1.0, 3.0, 0.0], [0.0, 0.0, 1.0]]
    forward_pass = forward(linear(weights), dots(red=0.9, green=0.2, blue=0.4))
    assert about_change(what_would_change(forward_pass)) == "Without prototype 0 the model would say Robin."
    assert about_change(None) == "No removal of prototypes is known that would change the answer."


def test_change_to_a_third_class():
    weights = [[3.0, 0.0, 1.0], [0.0, 2.0, 0.0], [0.0, 1.0, 0.0]]
    told = about_change(what_would_change(forward(linear(weights), dots(red=1, green=1, blue=1)), rival=2))
    assert told == "Without prototypes 0 and 2 the model would say Robin (Crow overtakes Wren too)."


def test_contrast():
    weights = [[2.0, -1.0, 0.5], [1.0, 3.0, 0.0], [0.0, 0.0, 0.0]]
    found = contrast(forward(linear(weights), dots(red=0.9, green=0.2, blue=0.4)))
    assert about_contrast(found, 2) == (
        "Wren and not Robin: its score leads by 0.30 = +0.90 prototype 0, -0.80 prototype 1, +0.20 all others."
    )


def test_absence():
    positive = [[0.5, 0.1, 0.2], [0.1, 0.3, 0.2]]
    negative = [[0.1, 0.4, 0.3], [0.3, 0.2, 0.3]]
    explanation = explain_forward_pass(forward(reasoning(positive, negative), dots(red=0.8)), labels=[0])
    assert about_absence(explanation.classes[0]) == [
        "missing as expected, adds: 0.300 prototype 1, 0.020 prototype 0",
        "found but unwanted, costs: 0.080 prototype 0",
        "missing though wanted, costs: 0.100 prototype 0, 0.100 prototype 1",
    ]
    plain = explain_forward_pass(forward(linear(torch.eye(3).tolist()), dots(red=0.8)))
    assert about_absence(plain.classes[0]) == []


@pytest.fixture
def judged():
    errors = {
        "mask": {"lime": 0.31, "saliency": 150.0},
        "one-out": {"lime": 0.99, "saliency": 1.5},
        "fading": {"lime": None, "saliency": None},
    }
    return Attributions(Target("class", 0), 1.0, {"saliency": None, "grad-cam": None, "lime": None}, errors, 20, 0)


def test_fit(judged):
    assert about_fit(judged) == [
        "What if parts of the picture were missing? LIME, fit error 0.31 (mask).",
        "What if one part were missing? No method tells more than a constant would (one-out).",
        "What if the whole picture faded to one colour? No method tells more than a constant would (fading).",
    ]


def test_table_of_errors(judged):
    assert by_fit(judged) == ["lime", "saliency", "grad-cam"]
    assert caption(judged, "lime") == "LIME: fit error 0.31, best fit"
    assert caption(judged, "saliency") == "Saliency: fit error > 99"
    assert caption(judged, "grad-cam") == "Grad-CAM"
    assert [line.split() for line in error_table(judged)] == [
        ["fit", "error", "mask", "one-out", "fading"],
        ["LIME", "0.31", "0.99", "-"],
        ["Saliency", ">", "99", "1.50", "-"],
    ]
    assert len({len(line) for line in error_table(judged)}) == 1
