"""HTML of the page: names are text whatever they contain; numbers read well."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from app import views
from app.actions import explain_case, facts
from app.state import Broken
from protoexplain.errors import UserError
from protoexplain.explain.render import AGAINST_COLOUR, FOR_COLOUR

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(1)</script>{{7*7}}${7*7}'


@pytest.fixture
def case(store, examples):
    explainer = store.explainer("a-protopnet")
    return explain_case(explainer, examples.of(explainer.checkpoint)[0])


def test_hostile_names_are_shown_as_text(case):
    shown = dataclasses.replace(case.shown, name=HOSTILE)
    row = dataclasses.replace(
        case.supporting[0], owner=HOSTILE, patch=dataclasses.replace(case.supporting[0].patch, alt=HOSTILE)
    )
    hostile = dataclasses.replace(
        case,
        name=HOSTILE,
        truth=HOSTILE,
        predictions=(shown,),
        shown=shown,
        supporting=(row,),
        notices=(HOSTILE,),
    )
    pages = [
        views.case(hostile),
        views.answer(hostile),
        views.broken([Broken(HOSTILE, HOSTILE)]),
        views.refusal(UserError(HOSTILE, HOSTILE, HOSTILE)),
        views.bars([shown]),
    ]
    for page in pages:
        assert "<script" not in page
        assert "<img src=x" not in page
    assert "{{7*7}}" in pages[0]
    assert "49" not in pages[2]


def test_a_refusal_says_what_and_how_to_go_on_but_not_where_on_our_disk():
    page = views.refusal(UserError("the file is a text", "/srv/secret/upload.jpg", "choose a picture"))
    assert "The file is a text." in page
    assert "Choose a picture." in page
    assert "secret" not in page
    assert 'role="alert"' in page


def test_every_picture_has_an_alternative_text(case):
    page = views.case(case) + views.answer(case)
    assert page.count("<img ") == page.count(' alt="') > 5
    assert 'alt=""' not in page


def test_every_question_mark_opens_a_help_text(store, case):
    checkpoint = store.listed("a-protopnet").checkpoint
    page = views.answer(case) + views.case(case) + views.facts(facts(checkpoint)) + views.predictions_heading()
    asked = {piece.split('"')[0] for piece in page.split('popovertarget="')[1:]}
    assert {"help-similarity", "help-evidence", "help-probability", "help-box", "help-heat", "help-sum"} <= asked
    assert all(f'id="{name}"' in views.intro() for name in asked)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.931, "93.1 %"), (0, "0.0 %"), (0.0004, "< 0.1 %"), (0.9996, "> 99.9 %"), (1, "100.0 %")],
)
def test_probabilities_never_round_to_certainty(share, text):
    assert views.percent(share) == text


@pytest.mark.parametrize(
    ("value", "by_probability", "text"),
    [(2.314, False, "+2.31"), (-0.5, False, "\N{MINUS SIGN}0.50"), (0.031, True, "+3.1 %"), (-0.001, False, "+0.00")],
)
def test_evidence_carries_its_sign(value, by_probability, text):
    assert views.amount(value, by_probability) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [("012.Yellow_headed_Blackbird", "Yellow headed Blackbird"), ("Dr. No", "Dr. No"), ("3.", "3."), ("cat", "cat")],
)
def test_class_names_read_like_names(name, text):
    assert views.readable(name) == text


def test_families_that_repeat_are_told_apart_by_their_folders(store):
    first, second = store.scan()[0]
    assert views.titles([first, second]) == [("ProtoPNet", first.name), (views.titles([second])[0][0], second.name)]
    assert views.titles([first, first])[0][0] == "ProtoPNet (a-protopnet)"


def test_the_page_uses_the_colours_of_the_pictures():
    css = (Path(views.__file__).parent / "assets" / "theme.css").read_text()
    assert f"--for: {FOR_COLOUR};" in css
    assert f"--against: {AGAINST_COLOUR};" in css
    assert "http" not in css
