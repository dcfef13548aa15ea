"""Sentences claim what the numbers carry, and nothing else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import characteristics

from protoexplain.explanations.characteristics.calibration import StrengthCalibration
from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS
from protoexplain.explanations.characteristics.words import (
    IRRELEVANT_BELOW,
    MATTERS_ABOVE,
    PHRASES,
    Trait,
    Verdict,
    about_match,
    about_prototype,
    match_findings,
    prototype_findings,
)

numbers = st.floats(-6, 6)
widths = st.floats(0, 4)


def finding(score, width, name="hue", share=0.5):
    return Trait(name, score, score - width, score + width, share)


def claimed(sentence):
    """Characteristics that the sentence says anything about, before it names the open ones."""
    said = re.split(r"; whether|^Which", sentence)[0]
    return {name for name, phrase in PHRASES.items() if re.search(rf"\b{phrase}\b", said, re.IGNORECASE)}


def test_every_modification_has_a_phrase():
    assert set(PHRASES) == set(MODIFICATIONS)


@given(score=numbers, width=widths)
def test_verdicts_need_the_whole_interval(score, width):
    one = finding(score, width)
    expected = Verdict.OPEN
    if score - width > MATTERS_ABOVE:
        expected = Verdict.MATTERS
    elif score + width < -MATTERS_ABOVE:
        expected = Verdict.HINDERS
    elif abs(score) + width < IRRELEVANT_BELOW:
        expected = Verdict.IRRELEVANT
    assert one.verdict is expected or abs(abs(score) + width - IRRELEVANT_BELOW) < 1e-9


@given(st.dictionaries(st.sampled_from(sorted(PHRASES)), st.tuples(numbers, widths), min_size=1))
def test_no_claim_without_significance(scores):
    findings = [finding(score, width, name) for name, (score, width) in scores.items()]
    sentence = about_match(sorted(findings, key=lambda one: -one.score))
    sure = {one.name for one in findings if one.verdict is not Verdict.OPEN}
    assert claimed(sentence) == sure
    if not sure:
        assert sentence == "Which characteristics matter to this match stays open (this image alone)."
    else:
        assert "95 % sure, this image alone" in sentence
        assert ("stays open" in sentence) == (len(sure) < len(findings))
        leads = [one for one in findings if one.verdict is Verdict.MATTERS]
        if "mainly" in sentence:
            first, second = sorted(findings, key=lambda one: -one.score)[:2]
            assert first.low > second.high
            assert leads
    assert sentence[0].isupper()
    assert sentence.endswith(".")


@given(numbers, numbers, widths)
def test_prototypes_claim_nothing_that_their_intervals_do_not(hue, shape, width):
    found = characteristics(value=((hue, shape), (0.0, 0.0)), width=width)
    sentence = about_prototype(found, 0, "prototype 0")
    sure = {one.name for one in prototype_findings(found, 0) if one.verdict is not Verdict.OPEN}
    assert claimed(sentence) == sure


def test_a_sentence_in_full():
    found = characteristics(value=((2.0, 0.1), (2.0, 1.2)))
    assert about_prototype(found, 0, "prototype 0 (Wren)") == (
        "Prototype 0 (Wren) rests mainly on the hue (changing it takes away 25 % of the match);"
        " the shape hardly matters (95 % sure, 6 images)."
    )
    assert about_prototype(found, 1, "prototype 1") == (
        "Prototype 1 rests mainly on the hue (changing it takes away 25 % of the match);"
        " whether the shape matters stays open (95 % sure, 6 images)."
    )
    both = characteristics(value=((2.0, 2.1), (-1.5, -1.6)))
    assert about_prototype(both, 0, "prototype 0") == (
        "Prototype 0 rests on the shape (changing it takes away 21 % of the match) and the hue (25 %)"
        " (95 % sure, 6 images)."
    )
    assert about_prototype(both, 1, "prototype 1") == (
        "Prototype 1 would match better without the hue and the shape (95 % sure, 6 images)."
    )


def test_prototypes_that_were_not_measured():
    found = characteristics()
    assert about_prototype(found, 1, "prototype 1") == (
        "What prototype 1 rests on was not measured: too few images of its class show it."
    )


def test_matches_waver_by_their_noise():
    """2.24 standard deviations hold two intervals together at 95 %."""
    calibration = StrengthCalibration({"hue": 0.3, "shape": 5.0}, {"hue": 0.5, "shape": 0.4}, (0.1, None))
    findings = match_findings({"hue": 1.5, "shape": 0.02}, 4.0, calibration, 0)
    assert [one.name for one in findings] == ["hue", "shape"]
    hue, shape = findings
    assert (hue.score, shape.score) == pytest.approx((3.0, 0.05))
    assert (hue.high - hue.low) / 2 == pytest.approx(2.2414 * 0.1 / 0.5, rel=1e-4)
    assert hue.share == pytest.approx(1.5 / 4)
    assert hue.verdict is Verdict.MATTERS
    assert shape.verdict is Verdict.OPEN
    assert match_findings({"hue": 1.5}, 4.0, calibration, 1) == ()
    assert about_match(()) == "What this match rests on was not measured."


def test_changes_that_do_nothing_to_the_model_say_nothing():
    calibration = StrengthCalibration({"hue": 0.0}, {"hue": 0.0}, (0.1,))
    assert match_findings({"hue": 0.0}, 4.0, calibration, 0) == ()
