"""The quiz: the same questions for the same seed, nothing given away, and results that a study can use."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

import pytest

from protoexplain.errors import UserError
from protoexplain_app.image_predictions import ImagePrediction
from protoexplain_app.input_image import run_model
from protoexplain_app.tabs.quiz import view as views
from protoexplain_app.tabs.quiz.actions import (
    AGREEMENT,
    DISTINCTION,
    Query,
    answer,
    ask,
    begin,
    parse_query,
    score,
    wilson,
)
from protoexplain_app.tabs.quiz.results import as_csv, as_json


@pytest.fixture(params=["a-protopnet", "b-cbc"])
def explainer(request, store):
    return store.explainer(request.param)


@pytest.fixture
def input_images(examples, explainer):
    return examples.of(explainer.checkpoint)


@pytest.fixture
def guesses(input_images):
    """Every third decision is wrong."""
    return {
        input_image.key: ImagePrediction(0, 0.9, 0.05, int(i % 3 == 0)) for i, input_image in enumerate(input_images)
    }


def begun(explainer, input_images, guesses, query):
    return begin(explainer.checkpoint, "m", "data", input_images, guesses, query, "abcd")


def asked(explainer, input_images, session):
    by_key = {input_image.key: input_image for input_image in input_images}
    return ask(explainer, session, by_key[session.queue[0]])


def finished(explainer, input_images, session, choose):
    while session.queue:
        session, _ = asked(explainer, input_images, session)
        session = answer(session, choose(session.items[-1]), 1.234)
    return session


def right_option(item):
    return item.shown.index(item.decided)


def test_the_same_seed_asks_the_same_questions(explainer, input_images, guesses):
    query = Query(seed=7, length=5)
    first, again = (begun(explainer, input_images, guesses, query) for _ in range(2))
    assert first.queue == again.queue
    assert asked(explainer, input_images, first)[0] == asked(explainer, input_images, again)[0]
    assert begun(explainer, input_images[::-1], guesses, query).queue == first.queue
    others = {begun(explainer, input_images, guesses, Query(seed=seed, length=5)).queue for seed in range(6)}
    assert len(others) > 3


def test_four_classes_are_shown_one_of_which_is_the_decision(explainer, input_images, guesses):
    session, question = asked(explainer, input_images, begun(explainer, input_images, guesses, Query()))
    item = session.open
    input_image = next(s for s in input_images if s.key == item.image)
    ranked = run_model(explainer, input_image).forward_pass.ranked
    assert item.decided == ranked[0]
    assert sorted(item.shown) == sorted(ranked[:4])
    assert len(question.options) == 4
    assert all(1 <= len(option) <= 3 for option in question.options)
    assert session.total == 10


def test_the_decision_is_not_always_at_the_same_place(explainer, input_images, guesses):
    session = finished(
        explainer, input_images, begun(explainer, input_images, guesses, Query(length=10)), lambda item: 0
    )
    assert len({right_option(item) for item in session.items}) > 1


def test_wrong_decisions_are_asked_about_as_often_as_right_ones(explainer, input_images, guesses):
    queue = begun(explainer, input_images, guesses, Query(AGREEMENT, length=5)).queue
    assert sum(not guesses[key].right for key in queue) == 2
    few = {key: ImagePrediction(0, 0.9, 0.05, int(i == 0)) for i, key in enumerate(guesses)}
    queue = begun(explainer, input_images, few, Query(AGREEMENT, length=5)).queue
    assert (len(queue), sum(not few[key].right for key in queue)) == (5, 1)


def test_without_knowing_what_is_right_agreement_cannot_be_asked(explainer, input_images):
    with pytest.raises(UserError, match="known of no picture"):
        begun(explainer, input_images, {}, Query(AGREEMENT))
    with pytest.raises(UserError):
        begun(explainer, [], {}, Query())


def test_nothing_in_the_page_gives_the_answer_away(explainer, input_images, guesses):
    for task in (DISTINCTION, AGREEMENT):
        session, question = asked(explainer, input_images, begun(explainer, input_images, guesses, Query(task)))
        page = views.question(session, question)
        item = session.open
        input_image = next(s for s in input_images if s.key == item.image)
        classes = [name.replace("_", " ") for name in session.classes]
        assert [name for name in (*session.classes, *classes, input_image.name, input_image.key) if name in page] == []


def test_right_and_wrong_answers_are_counted(explainer, input_images, guesses):
    session = begun(explainer, input_images, guesses, Query(length=5))
    best = score(finished(explainer, input_images, session, right_option))
    assert (best.hits, best.total, best.chance) == (5, 5, 0.25)
    worst = score(finished(explainer, input_images, session, lambda item: (right_option(item) + 1) % 4))
    assert worst.hits == 0
    assert best.seconds == 1.23


def test_trust_in_wrong_decisions_is_counted(explainer, input_images, guesses):
    session = begun(explainer, input_images, guesses, Query(AGREEMENT, length=5))
    believer = score(finished(explainer, input_images, session, lambda item: 0))
    assert believer.hits == sum(item.right for item in finished(explainer, input_images, session, lambda item: 0).items)
    assert believer.believed == believer.wrong == 5 - believer.hits
    doubter = score(finished(explainer, input_images, session, lambda item: 3))
    assert doubter.hits == doubter.wrong
    assert doubter.believed == 0
    assert believer.chance == 0.5


@pytest.mark.parametrize("chosen", [None, -1, 4, 99])
def test_answers_that_are_not_offered_are_refused(explainer, input_images, guesses, chosen):
    session, _ = asked(explainer, input_images, begun(explainer, input_images, guesses, Query()))
    with pytest.raises(UserError):
        answer(session, chosen, 1)
    with pytest.raises(UserError):
        answer(answer(session, 0, 1), 0, 1)


def test_the_interval_is_that_of_wilson():
    assert wilson(7, 10) == pytest.approx((0.3968, 0.8922), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson(0, 0) == (0, 1)


def test_results_hold_what_a_study_needs(explainer, input_images, guesses):
    query = Query(seed=3, length=5, feedback=True)
    session = finished(explainer, input_images, begun(explainer, input_images, guesses, query), right_option)
    told = json.loads(as_json(session, "2030-01-01T00:00:00+00:00"))
    assert (told["participant"], told["seed"], told["task"], told["feedback"]) == ("abcd", 3, DISTINCTION, True)
    assert told["weights_sha256"] == explainer.checkpoint.weights_sha256
    assert told["score"]["hits"] == 5
    rows = list(csv.DictReader(io.StringIO(as_csv(session, "2030"))))
    assert len(rows) == len(told["items"]) == 5
    for row, item in zip(rows, told["items"], strict=True):
        assert row["answer"] == item["answer"] == item["decided"]
        assert row["shown"] == " | ".join(item["shown"])
        assert (row["hit"], row["seconds"], row["seed"]) == ("1", "1.23", "3")


def test_spreadsheets_run_nothing(explainer, input_images, guesses):
    session = finished(explainer, input_images, begun(explainer, input_images, guesses, Query(length=5)), right_option)
    hostile = dataclasses.replace(session, model="=cmd()", classes=("+1", "-1", "@x", "\tx"))
    cells = [cell for row in csv.reader(io.StringIO(as_csv(hostile, ""))) for cell in row]
    assert "'=cmd()" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))]


def test_wishes_are_not_trusted():
    assert parse_query({"task": AGREEMENT, "seed": "9", "length": "20", "feedback": "1"}) == Query(
        AGREEMENT, 9, 20, True
    )
    assert parse_query({"task": "x", "seed": "-1", "length": "1000", "feedback": "yes"}) == Query()


def test_hostile_names_are_text(explainer, input_images, guesses):
    hostile = '"><img src=x onerror=alert(1)><script>'
    session = finished(
        explainer, input_images, begun(explainer, input_images, guesses, Query(length=5)), lambda item: 0
    )
    named = dataclasses.replace(
        session,
        model=hostile,
        classes=(hostile,) * 4,
        items=tuple(dataclasses.replace(item, truth=hostile, image=hostile) for item in session.items),
    )
    _, question = asked(explainer, input_images, begun(explainer, input_images, guesses, Query(length=5)))
    for page in (views.verdict(named, question), views.end(named, hostile), views.start(Query(), hostile)):
        assert "<script" not in page
        assert "<img src=x" not in page
