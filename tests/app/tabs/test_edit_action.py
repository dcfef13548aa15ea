"""Correcting a model in the app: what is offered, what is refused, what visitors see of each other, what is saved."""

from __future__ import annotations

import time

import pytest
from cachetools import LRUCache

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.dataset_view import view_of_run
from protoexplain.editing.decisions import Decision, Decisions, History, parse_decisions
from protoexplain.editing.edit import edit
from protoexplain.errors import UserError
from protoexplain.training.verify import verify
from protoexplain_app.examples import Examples
from protoexplain_app.jobs import Job, JobQueue, JobState, Requests
from protoexplain_app.tabs.edit import actions
from protoexplain_app.tabs.edit import view as views
from protoexplain_app.tabs.edit.actions import Query
from protoexplain_app.tabs.edit.edits import Edits, file_of, free_name, new_place
from protoexplain_app.tabs.edit.state import EditState

HOSTILE = '"><img src=x onerror=alert(1)><script>'
GONE = Decision(prototype=1, do="remove", reason="background", note="only sky", who="Ada", date="2030-01-31")


@pytest.fixture(scope="module")
def edits(birds):
    return Edits(Examples(birds), JobQueue(Requests()))


@pytest.fixture
def explainer(store):
    return store.explainer("a-protopnet")


def ended(look):
    """The job that `look` finds, when it is over."""
    deadline = time.monotonic() + 300
    while (job := look()).under_way:
        assert time.monotonic() < deadline, job
        time.sleep(0.02)
    return job


def answer(edits, checkpoint, decisions=()):
    """What comes of a preview."""
    edits.request_report(checkpoint, decisions)
    return ended(lambda: edits.report(checkpoint, decisions))


def saved(edits, checkpoint, decisions, place):
    """What comes of saving."""
    edits.save(checkpoint, decisions, place)
    return ended(lambda: edits.saving(checkpoint, decisions, place))


@pytest.fixture
def ready(edits, explainer):
    """The checkpoint, its latent maps and the first report."""
    checkpoint = explainer.checkpoint
    first = answer(edits, checkpoint)
    assert first.result is not None, first.error
    return checkpoint, edits.preview(checkpoint), first.result


def test_previews_are_remembered_by_weights_and_decisions(edits, ready):
    checkpoint, _, first = ready
    assert edits.report(checkpoint, (GONE,)) == Job()
    preview = answer(edits, checkpoint, (GONE,))
    assert preview.result is not None
    assert preview.result.before == first.before
    assert preview.result.after.prototypes == first.before.prototypes - 1
    assert edits.request_report(checkpoint, (GONE,)) is edits.report(checkpoint, (GONE,))
    assert answer(edits, checkpoint).result == first, "the parent is as it was"


def test_trouble_is_told_and_can_be_tried_again(edits, ready):
    checkpoint, *_ = ready
    impossible = (Decision(prototype=999, do="remove", reason="other"),)
    assert "no prototype 999" in answer(edits, checkpoint, impossible).error.what
    nothing = Edits(Examples(None), JobQueue())
    assert "no data set" in answer(nothing, checkpoint).error.what


def test_latent_maps_that_had_to_make_room_are_computed_again(edits, ready, store, monkeypatch):
    checkpoint, *_ = ready
    monkeypatch.setattr(edits, "_previews", LRUCache(1))
    answer(edits, store.explainer("b-cbc").checkpoint)
    assert edits.preview(checkpoint) is None
    assert answer(edits, checkpoint).result is not None
    assert edits.preview(checkpoint) is not None


def test_prototypes_with_findings_come_first(explainer, ready):
    _, _, report = ready
    shown = actions.gallery(explainer, History(), report, Query())
    assert len(shown) == 16
    counts = [len(one.marks) for one in shown]
    assert counts == sorted(counts, reverse=True)
    told = {one.tile.index for one in shown if "off the object" in one.marks}
    assert told == set(report.concerned["background"])
    assert told, "some lie on the background"
    only = actions.gallery(explainer, History((GONE,)), report, Query(found=True))
    assert {one.tile.index for one in only} == {one.tile.index for one in shown if one.marks} | {1}
    assert next(one for one in only if one.tile.index == 1).decision == GONE
    of_class = actions.gallery(explainer, History(), report, Query(label=2))
    assert {one.tile.owner for one in of_class} == {explainer.checkpoint.classes[2]}
    assert len(actions.gallery(explainer, History(), None, Query(label=99))) == 16


def test_patches_are_offered_with_pictures(ready):
    checkpoint, preview, report = ready
    shown = actions.open_prototype(checkpoint, preview, History(), report, 0, None)
    assert shown.offers
    assert all(offer.picture.source.startswith("data:image/jpeg") for offer in shown.offers)
    assert all(offer.picture.region is not None for offer in shown.offers)
    place = shown.pictures[1][0]
    board = actions.open_prototype(checkpoint, preview, History(), report, 0, place).board
    assert board is not None
    assert (board.rows, board.columns) == preview.map_of(0)
    foreign = next(i for i, image in enumerate(preview.features["train"].images) if image.label == 3)
    assert actions.open_prototype(checkpoint, preview, History(), report, 0, foreign).board is None
    early = actions.open_prototype(checkpoint, None, History(), None, 0, None)
    assert (early.ready, early.offers) == (False, ())
    with pytest.raises(UserError, match="no prototype 99"):
        actions.open_prototype(checkpoint, preview, History(), report, 99, None)


def test_components_can_only_be_removed(edits, store):
    checkpoint = store.explainer("b-cbc").checkpoint
    report = answer(edits, checkpoint).result
    shown = actions.open_prototype(checkpoint, edits.preview(checkpoint), History(), report, 0, None)
    assert not shown.movable
    page = views.one(shown, "", "", "")
    assert "parts of its network" in page
    assert "Write the chosen part" not in page
    assert answer(edits, checkpoint, (GONE,)).result.after.prototypes == len(checkpoint.prototypes) - 1


class TestDecisions:
    def test_removed_and_written_anew(self, ready):
        checkpoint, preview, report = ready
        words = {"reason": "spurious", "note": "a twig", "do": "remove"}
        assert actions.parse_decision(preview, words, 4, "Ada", "today") == Decision(
            prototype=4, do="remove", reason="spurious", note="a twig", who="Ada", date="today"
        )
        offer = actions.open_prototype(checkpoint, preview, History(), report, 4, None).offers[1]
        told = actions.parse_decision(preview, {**words, "do": "reproject", "patch": offer.value}, 4, "", "")
        assert (told.do, told.image) == ("reproject", offer.image)
        place = offer.value.split(",")[0]
        told = actions.parse_decision(preview, {**words, "cell": f"{place},0,1"}, 4, "", "")
        assert told.place == (offer.image, 0, 1)

    @pytest.mark.parametrize(
        ("words", "trouble"),
        [
            ({"do": "remove"}, "no reason"),
            ({"do": "remove", "reason": "nonsense"}, "no reason"),
            ({"do": "reproject", "reason": "other"}, "no patch"),
            ({"do": "reproject", "reason": "other", "patch": "1,2"}, "no patch"),
            ({"do": "reproject", "reason": "other", "patch": "1,-2,3"}, "no patch"),
            ({"do": "reproject", "reason": "other", "patch": "99999,0,0"}, "no training picture"),
            ({"cell": "0,999,0", "reason": "other"}, "no cell"),
        ],
    )
    def test_nonsense_is_refused(self, ready, words, trouble):
        _, preview, _ = ready
        with pytest.raises(UserError, match=trouble):
            actions.parse_decision(preview, words, 0, "", "")

    def test_long_texts_are_cut(self, ready):
        _, preview, _ = ready
        told = actions.parse_decision(
            preview, {"do": "remove", "reason": "other", "note": "x" * 9999}, 0, "y" * 9999, ""
        )
        assert (len(told.note), len(told.who)) == (500, 100)


class TestSaving:
    def test_new_checkpoint_is_found_by_itself_and_can_be_replayed(self, edits, ready, store, birds, tmp_path):
        checkpoint, *_ = ready
        place = new_place(store.root, "mine")
        result = saved(edits, checkpoint, (GONE,), place).result
        assert "mine" in {entry.name for entry in store.scan()[0]}
        assert result.checkpoint.metrics["edits"][0]["who"] == "Ada"
        data = view_of_run(checkpoint.config.data, birds)
        found = verify(result.checkpoint, data)
        assert found.passed, found.as_text()
        file = parse_decisions(file_of(checkpoint, (GONE,)), "file")
        assert file == Decisions(weights_sha256=checkpoint.weights_sha256, decisions=(GONE,))
        again = edit(store.root / "a-protopnet", file, birds, tmp_path / "again").checkpoint
        assert again.weights_sha256 == result.checkpoint.weights_sha256
        assert "already" in saved(edits, checkpoint, (GONE,), place).error.what
        assert Checkpoint.load(store.root / "a-protopnet").sha256 == checkpoint.sha256

    @pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden", "a b", "x" * 65, "a.tmp-12", "ü", "a\n"])
    def test_names_that_are_none(self, store, name):
        if name == "a\n":
            assert new_place(store.root, name).name == "a"
            return
        with pytest.raises(UserError, match="no name"):
            new_place(store.root, name)

    def test_taken_names(self, store):
        with pytest.raises(UserError, match="already"):
            new_place(store.root, "b-cbc")
        assert free_name(store.root, "a-protopnet") == "a-protopnet-edited"
        (store.root / "a-protopnet-edited").mkdir()
        assert free_name(store.root, "runs/a-protopnet") == "a-protopnet-edited-2"


def test_hostile_texts_are_text(edits, explainer, ready):
    checkpoint, preview, report = ready
    bad = GONE.model_copy(update={"note": HOSTILE, "who": HOSTILE})
    history = History().decide(bad)
    pages = [
        views.overview(
            EditState(query=Query(HOSTILE), saving=HOSTILE, saved=HOSTILE),
            history,
            Job(JobState.FAILED, error=UserError(HOSTILE, HOSTILE, HOSTILE)),
            report,
            [HOSTILE] * 4,
            {1: HOSTILE},
            (),
            file=HOSTILE,
            model=HOSTILE,
            name=HOSTILE,
            error=UserError(HOSTILE, HOSTILE, HOSTILE),
        ),
        views.overview(
            EditState(query=Query(HOSTILE), saving=HOSTILE, saved=HOSTILE),
            history,
            Job(JobState.RUNNING, HOSTILE, 1, 2),
            None,
            [HOSTILE] * 4,
            {1: HOSTILE},
            (),
            file=HOSTILE,
            model=HOSTILE,
            name=HOSTILE,
        ),
        views.one(actions.open_prototype(checkpoint, preview, history, report, 0, None), HOSTILE, HOSTILE, HOSTILE),
        views.gallery(actions.gallery(explainer, history, report, Query()), 16, Query(), [HOSTILE] * 4, True, 0),
        views.without_data(HOSTILE, True),
    ]
    for page in pages:
        assert "<script" not in page
        assert "<img src=x" not in page


def test_tiles_of_the_parent_stay_when_a_prototype_is_moved(explainer, edits, ready):
    checkpoint, preview, report = ready
    offer = actions.open_prototype(checkpoint, preview, History(), report, 2, None).offers[0]
    moved = actions.parse_decision(
        preview, {"do": "reproject", "reason": "background", "patch": offer.value}, 2, "", ""
    )
    tried = answer(edits, checkpoint, (moved,))
    assert 2 not in tried.result.concerned["background"]
    others = actions.open_prototype(checkpoint, preview, History().decide(moved), report, 3, None).offers
    assert offer.value not in {other.value for other in others}


def test_without_data_the_page_says_what_to_start(ready):
    page = views.without_data("Planted birds", False)
    assert "--data" in page
    assert "without a data set" in page
