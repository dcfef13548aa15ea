"""The tab 'Edit' by its handlers: saving goes on in the background, whatever else is under way."""

from __future__ import annotations

import dataclasses
import threading
import time
from types import SimpleNamespace

import gradio as gr
import pytest

import protoexplain_app.tabs.edit.edits
from protoexplain.editing.decisions import Decision, History
from protoexplain.errors import UserError
from protoexplain_app.jobs import JobQueue
from protoexplain_app.library import Choice
from protoexplain_app.roles import Access, Role
from protoexplain_app.tabs.edit.edits import Edits
from protoexplain_app.tabs.edit.state import EditState
from protoexplain_app.tabs.edit.tab import build

MODEL = Choice("a-protopnet")
MINE, OTHERS = ((Decision(prototype=number, do="remove", reason="other"),) for number in (1, 2))
REPORT = SimpleNamespace(rows=list, changed=(), epochs=1, concerned={})


class ForgetsAll(dict):
    """A cache without room."""

    def __setitem__(self, key, value):
        pass


def at_once(action):
    """What a handler returns; it may not hang."""
    found = []
    thread = threading.Thread(target=lambda: found.append(action()), daemon=True)
    thread.start()
    thread.join(10)
    assert found, "the handler hangs"
    return found[0]


@pytest.fixture
def refit_ends(monkeypatch):
    """Edits without mathematics: a refit of what others decided takes steps until this is set; set at the end."""
    ends = threading.Event()

    def open_preview(checkpoint, root, progress, device):
        progress(1, 2)
        return SimpleNamespace()

    def refit(features, edited, watcher):
        while edited == OTHERS and not ends.wait(0.01):
            watcher.progress("refitting the head", 1, 2)
        watcher.progress("refitting the head", 2, 2)
        return 1

    def save(features, edited, found, out, command, progress):
        if out.exists():
            raise UserError("there is something under this name already")
        progress(1, 1)
        out.mkdir()

    for name, stub in {"open_preview": open_preview, "refit": refit, "save": save}.items():
        monkeypatch.setattr(protoexplain_app.tabs.edit.edits, name, stub)
    monkeypatch.setattr(protoexplain_app.tabs.edit.edits, "carry_out", lambda features, decisions: decisions)
    monkeypatch.setattr(protoexplain_app.tabs.edit.edits, "report", lambda *given: REPORT)
    yield ends
    ends.set()


@pytest.fixture
def edits(examples, refit_ends):
    """On a queue that yields to the requests of the page."""
    jobs = JobQueue()
    yield Edits(examples, jobs)
    jobs.close()


@pytest.fixture
def handlers(library, edits):
    with gr.Blocks() as page:
        build(dataclasses.replace(library, edits=edits), gr.State(None))
    return SimpleNamespace(**{event.fn.__name__: event.fn for event in page.fns.values()})


@pytest.fixture
def checkpoint(store):
    return store.listed("a-protopnet").checkpoint


@pytest.fixture
def state(checkpoint):
    """Of a visitor who has decided something."""
    return EditState(MODEL.model, {checkpoint.weights_sha256: History().decide(MINE[0])})


def press(handlers, state, query):
    """State, overview and clock after a click."""
    found = at_once(lambda: handlers.on_click(MODEL, state, gr.EventData(None, {"query": query})))
    return found[0], found[1], found[4]


def followed(handlers, state):
    """State and overview when the clock no longer ticks."""
    until = time.monotonic() + 20
    while state.waiting:
        assert time.monotonic() < until
        state, overview, *_ = at_once(lambda state=state: handlers.on_tick(MODEL, state))
        time.sleep(0.02)
    return state, overview


def refit_of_others(edits, checkpoint):
    """Begin a refit that does not end by itself."""
    edits.request_report(checkpoint, OTHERS)
    until = time.monotonic() + 20
    while edits.report(checkpoint, OTHERS).what != "refitting the head":
        assert time.monotonic() < until
        time.sleep(0.01)


def test_saving_ends_though_a_refit_was_running(handlers, edits, refit_ends, checkpoint, state, store):
    refit_of_others(edits, checkpoint)
    now, overview, clock = press(handlers, state, "do=save&name=mine")
    assert (now.saving, now.saved, clock.active) == ("mine", "", True)
    assert "Saving mine: waiting for other work" in overview
    at_once(lambda: handlers.on_tick(MODEL, now))
    refit_ends.set()
    now, overview = followed(handlers, now)
    assert (now.saving, now.saved) == ("", "mine")
    assert "Saved as mine" in overview
    assert (store.root / "mine").is_dir()
    assert edits.report(checkpoint, OTHERS).finished


def test_saving_ends_though_the_latent_maps_had_to_make_room(handlers, edits, checkpoint, state, store, monkeypatch):
    monkeypatch.setattr(edits, "_previews", ForgetsAll())
    now, *_ = press(handlers, state, "do=refit")
    now, overview = followed(handlers, now)
    assert "Before and after" in overview
    assert edits.preview(checkpoint) is None
    now, *_ = press(handlers, now, "do=save&name=mine")
    now, _ = followed(handlers, now)
    assert now.saved == "mine"
    assert (store.root / "mine").is_dir()


def test_what_cannot_be_saved_is_told(handlers, edits, refit_ends, checkpoint, state, store):
    now, overview, _ = press(handlers, state, "do=save&name=b-cbc")
    assert (now.saving, "already" in overview) == ("", True)
    refit_of_others(edits, checkpoint)
    now, *_ = press(handlers, state, "do=save&name=mine")
    (store.root / "mine").mkdir()
    refit_ends.set()
    now, overview = followed(handlers, now)
    assert (now.saving, now.saved) == ("", "")
    assert "There is something under this name already" in overview


def test_who_may_try_out_an_edit_may_not_save_it(handlers, edits, state, store, monkeypatch):
    now, *_ = press(handlers, state, "do=refit")
    now, _ = followed(handlers, now)
    monkeypatch.setattr(edits.jobs, "access", Access(Role.MEASURE))
    now, overview, clock = press(handlers, now, "do=save&name=mine")
    assert (now.saving, clock.active) == ("", False)
    assert overview.count("Saving a checkpoint needs the role &#39;edit&#39;") == 2
    assert not (store.root / "mine").exists()


def test_who_may_look_decides_nothing_and_has_nothing_looked_at(handlers, edits, store, monkeypatch):
    monkeypatch.setattr(edits.jobs, "access", Access(Role.LOOK))
    now, overview, *_ = at_once(lambda: handlers.on_choice(MODEL, EditState()))
    assert "Correcting a model needs the role &#39;measure&#39;" in overview
    now, *_ = press(handlers, now, "open=2")
    assert (now.prototype, now.waiting) == (2, False)
    now, overview, _ = press(handlers, now, "prototype=2&do=remove&reason=other")
    assert now.histories == {}
    now, *_ = press(handlers, now, "do=refit")
    assert not now.waiting


def test_decisions_made_while_it_is_saved_change_nothing_of_it(handlers, checkpoint, state):
    now, *_ = press(handlers, state, "do=save&name=mine")
    history = now.about(checkpoint).decide(OTHERS[0])
    now = dataclasses.replace(now, histories={checkpoint.weights_sha256: history})
    now, _ = followed(handlers, now)
    assert now.saved == "mine"
