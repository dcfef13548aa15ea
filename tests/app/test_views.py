"""HTML of the page: names are text whatever they contain; numbers read well."""

from __future__ import annotations

import dataclasses

import pytest

from protoexplain.class_names import readable
from protoexplain.errors import UserError
from protoexplain.explanations.overlays import AGAINST_COLOUR, FOR_COLOUR
from protoexplain.view.explanation_view import Rows
from protoexplain.view.numbers import amount, ordinal, percent, signed
from protoexplain_app.image_predictions import ImagePrediction, PredictionJob
from protoexplain_app.library import Choice
from protoexplain_app.models import BrokenCheckpoint, titles
from protoexplain_app.panel import offered_images as pictures
from protoexplain_app.panel import view as panel
from protoexplain_app.panel.actions import facts
from protoexplain_app.panel.offered_images import OfferedImages
from protoexplain_app.tabs.explain import view as explain
from protoexplain_app.tabs.explain.actions import explain_image
from protoexplain_app.tabs.prototypes import view as prototypes
from protoexplain_app.tabs.prototypes.actions import Query, Tile, gallery
from protoexplain_app.tabs.prototypes.details import prototype_details
from protoexplain_app.templating import error_message
from protoexplain_app.widgets import ROOT

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(1)</script>{{7*7}}${7*7}'


@pytest.fixture
def case(store, examples):
    explainer = store.explainer("a-protopnet")
    return explain_image(explainer, examples.of(explainer.checkpoint)[0])


def test_evidence_against_the_usual_image_is_told_in_words(case, store, examples):
    """What counts from the usual image says so; a row that is there because it is found less says that, too."""
    row = dataclasses.replace(case.of_kind("for")[0], similarity=1.25, usual=1.75)
    told = explain.answer(dataclasses.replace(case, lists=(Rows("for", (row,)),)), 5, "map", False, "a")
    against = explain.answer(dataclasses.replace(case, lists=(Rows("against", (row,)),)), 5, "map", False, "a")
    assert "What does the heat map mean?" in against, "rows that speak against have heat maps, too"
    for words in ("relative to the average class", "What an average picture gets", "usually 1.75", "than usual"):
        assert words in told
    other = store.explainer("b-cbc")
    plain = explain.answer(explain_image(other, examples.of(other.checkpoint)[0]), 5, "map", False, "cbc")
    for words in ("relative to the average class", "What an average picture gets", "usually"):
        assert words not in plain


def test_hostile_names_are_shown_as_text(case):
    guess, shown = (dataclasses.replace(one, name=HOSTILE) for one in (case.best, case.shown))
    row = dataclasses.replace(
        case.of_kind("for")[0], owner=HOSTILE, patch=dataclasses.replace(case.of_kind("for")[0].patch, alt=HOSTILE)
    )
    hostile = dataclasses.replace(
        case,
        name=HOSTILE,
        truth=HOSTILE,
        predictions=(guess,),
        explanation=dataclasses.replace(case.explanation, classes=(shown,)),
        lists=(Rows("for", (row,)),),
        notices=(HOSTILE,),
    )
    pages = [
        explain.picture(hostile),
        explain.answer(hostile, 5, HOSTILE, True, HOSTILE),
        panel.unusable([BrokenCheckpoint(HOSTILE, HOSTILE)]),
        error_message(UserError(HOSTILE, HOSTILE, HOSTILE)),
        explain.bars([guess]),
    ]
    for page in pages:
        assert "<script" not in page
        assert "<img src=x" not in page
    assert "{{7*7}}" in pages[0]
    assert "49" not in pages[2]


def test_a_refusal_says_what_and_how_to_go_on_but_not_where_on_our_disk():
    page = error_message(UserError("the file is a text", "/srv/secret/upload.jpg", "choose a picture"))
    assert "The file is a text." in page
    assert "Choose a picture." in page
    assert "secret" not in page
    assert 'role="alert"' in page


def test_hostile_names_among_the_pictures_are_text(library):
    input_image = dataclasses.replace(
        library.examples.of(library.store.listed("a-protopnet").checkpoint)[0], truth=HOSTILE
    )
    shown = OfferedImages(
        ((input_image, ImagePrediction(0, 0.5, 0.1, 1)),), 5, PredictionJob(error=UserError(HOSTILE)), waiting=True
    )
    view = library.examples.view(library.store.listed("a-protopnet").checkpoint)
    for query in (pictures.Query(), pictures.Query("wrong")):
        page = panel.pictures(shown, query, HOSTILE, [HOSTILE]) + panel.query_form(query, [HOSTILE], view)
        assert "<script" not in page
        assert "<img src=x" not in page


def test_the_panel_says_where_its_pictures_come_from(library):
    view = library.examples.view(library.store.listed("a-protopnet").checkpoint)
    told = [
        panel.query_form(pictures.Query(), ["Wren"], one)
        for one in (None, view, dataclasses.replace(view, foreign=True))
    ]
    titles = ["Pictures it learned from", "Test pictures", panel.OTHERS]
    assert [f"<h2>{title}</h2>" in page for title, page in zip(titles, told, strict=True)] == [True] * 3
    assert "Least sure first" not in told[0]
    assert "Least sure first" in told[2]


def test_every_picture_has_an_alternative_text(case):
    page = explain.picture(case) + explain.answer(case, 5, "map", False, "m")
    assert page.count("<img ") == page.count(' alt="') > 5
    assert 'alt=""' not in page


def test_every_question_mark_opens_a_help_text(store, case):
    checkpoint = store.listed("a-protopnet").checkpoint
    page = (
        explain.answer(case, 5, "map", False, "m")
        + explain.picture(case)
        + panel.facts(facts(checkpoint))
        + explain.predictions_heading()
    )
    asked = {piece.split('"')[0] for piece in page.split('popovertarget="')[1:]}
    assert {"help-similarity", "help-evidence", "help-probability", "help-box", "help-heat", "help-sum"} <= asked
    assert all(f'id="{name}"' in panel.helps() for name in asked)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.931, "93.1 %"), (0, "0.0 %"), (0.0004, "< 0.1 %"), (0.9996, "> 99.9 %"), (1, "100.0 %")],
)
def test_probabilities_never_round_to_certainty(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("value", "by_probability", "text"),
    [(2.314, False, "+2.31"), (-0.5, False, "\N{MINUS SIGN}0.50"), (0.031, True, "+0.031"), (-0.001, False, "+0.00")],
)
def test_evidence_carries_its_sign(value, by_probability, text):
    assert amount(value, by_probability) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [("012.Yellow_headed_Blackbird", "Yellow headed Blackbird"), ("Dr. No", "Dr. No"), ("3.", "3."), ("cat", "cat")],
)
def test_class_names_read_like_names(name, text):
    assert readable(name) == text


def test_families_that_repeat_are_told_apart_by_their_folders(store):
    first, second = store.scan()[0]
    assert titles([first, second]) == [("ProtoPNet on sample-birds", first.name), (titles([second])[0][0], second.name)]
    assert titles([first, first])[0][0] == "a-protopnet: ProtoPNet on sample-birds"


@pytest.mark.parametrize(("value", "text"), [(0.834, "+0.83"), (-12.34, "\N{MINUS SIGN}12.3"), (1830, "+1,830")])
def test_weights_carry_their_sign(value, text):
    assert signed(value) == text


@pytest.mark.parametrize(
    ("place", "text"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (112, "112th"), (23, "23rd")]
)
def test_places_are_ordinals(place, text):
    assert ordinal(place) == text


def test_hostile_names_in_the_gallery_are_text(store):
    explainer = store.explainer("a-protopnet")
    shown = gallery(explainer, Query())
    hostile = dataclasses.replace(shown, tiles=(Tile(0, HOSTILE, HOSTILE, 1.0),), findings=(HOSTILE,))
    one = dataclasses.replace(
        prototype_details(explainer, 0),
        owner=HOSTILE,
        image=HOSTILE,
        image_class="other" + HOSTILE,
        findings=(HOSTILE,),
    )
    pages = [
        prototypes.gallery(hostile, HOSTILE, Query(HOSTILE)),
        prototypes.details(one, HOSTILE, Query(HOSTILE)),
        prototypes.figures(one, HOSTILE, Query(HOSTILE)),
        panel.address(Choice(HOSTILE, HOSTILE)),
        panel.notices([HOSTILE]),
    ]
    for page in pages:
        assert "<script" not in page
        assert "<img src=x" not in page


def test_the_page_uses_the_colours_of_the_pictures_and_nothing_from_elsewhere():
    css = (ROOT / "theme" / "theme.css").read_text()
    assert f"--for: {FOR_COLOUR};" in css
    assert f"--against: {AGAINST_COLOUR};" in css
    files = [path for kind in ("css", "js") for path in ROOT.rglob(f"*.{kind}")]
    assert len(files) > 3
    assert [path.name for path in files if "http" in path.read_text()] == []
