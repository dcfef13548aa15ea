"""The tab 'Quiz': find out the hidden decision from prototypes, so that a study can measure whether they help."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import gradio as gr

from app.library import Choice, Library
from app.links import number, parse
from app.surveys import Survey
from app.tab import Tab
from app.tabs.quiz import view as views
from app.tabs.quiz.actions import AGREEMENT, Session, Wish, answer, ask, begin, read_wish
from app.widgets import ON_MODEL, form, guarded
from protoexplain.errors import UserError

ASKS_EVERY = 1.0
"""Seconds between looks at how far the survey of the test pictures is."""


@dataclass(frozen=True)
class Desk:
    """Where a visitor is.

    Args:
        wish: The settings.
        model: Name of the model.
        session: None before the start.
        since: When the open question was asked.
        waiting: Whether the quiz starts as soon as the survey is complete.
    """

    wish: Wish
    model: str
    session: Session | None = None
    since: float = 0.0
    waiting: bool = False


def build(library: Library, chosen: gr.State) -> None:
    """Lay out the tab and wire it."""
    quiz = form("quiz")
    state = gr.State(Desk(Wish(), ""))
    survey = gr.Timer(ASKS_EVERY, active=False)
    page = [state, quiz, survey]

    def another_choice(choice: Choice, before: Desk) -> list[Any]:
        """A link, or another model; another picture changes nothing here."""
        words = choice.wish(TAB.name)
        if not words and choice.model == before.model:
            return [gr.skip()] * len(page)
        library.checkpoint(choice)
        running = before.session is not None and choice.model != before.model
        notice = "Another model was chosen, so the quiz starts anew." if running else ""
        wish = read_wish(words) if words else before.wish
        return shown(Desk(wish, choice.model), views.start(wish, notice))

    def step(choice: Choice, now: Desk, event: gr.EventData) -> list[Any]:
        words = dict(parse(str(event.query)).words)
        match words.get("do"):
            case "start":
                return start(choice, Desk(read_wish(words), choice.model))
            case "answer" if now.session is not None and number(words, "number") == len(now.session.items):
                answered = answer(now.session, number(words, "answer"), time.monotonic() - now.since)
                if now.wish.feedback:
                    return shown(replace(now, session=answered), views.verdict(answered))
                return following(choice, replace(now, session=answered))
            case "next" if now.session is not None and now.session.open is None:
                return following(choice, now)
            case "stop" if now.session is not None and now.session.queue and any_answer(now.session):
                return shown(replace(now, session=None), views.end(now.session, _now()))
            case "stop":
                return shown(Desk(now.wish, choice.model), views.start(now.wish))
            case _:
                return [gr.skip()] * len(page)

    def start(choice: Choice, now: Desk) -> list[Any]:
        explainer = library.explainer(choice)
        found = Survey()
        if now.wish.task == AGREEMENT:
            found = library.surveys.request(explainer)
            if not found.finished:
                return shown(replace(now, waiting=found.under_way), views.waiting(now.wish, found))
        subjects = library.examples.of(explainer.checkpoint)
        data = library.examples.fingerprint(explainer.checkpoint)
        session = begin(
            explainer.checkpoint, choice.model, data, subjects, found.result or {}, now.wish, secrets.token_hex(4)
        )
        return following(choice, replace(now, session=session, waiting=False))

    def following(choice: Choice, now: Desk) -> list[Any]:
        """The next question that can be asked, or the end."""
        session = now.session
        while session is not None and session.queue:
            try:
                explainer = library.store.explainer(session.model)
                subject = library.examples.find(explainer.checkpoint, session.queue[0])
                asked, question = ask(explainer, session, subject)
            except UserError:
                session = replace(session, queue=session.queue[1:])
                continue
            return shown(replace(now, session=asked, since=time.monotonic()), views.question(asked, question))
        return shown(replace(now, session=None), views.end(session, _now()) if session else views.start(now.wish))

    def look_at_survey(choice: Choice, now: Desk) -> list[Any]:
        return start(choice, now) if now.waiting else [gr.skip(), gr.skip(), gr.Timer(active=False)]

    def shown(now: Desk, content: str) -> list[Any]:
        return [now, content, gr.Timer(active=now.waiting)]

    def failed(message: str) -> list[Any]:
        return [Desk(Wish(), ""), message + views.start(Wish()), gr.Timer(active=False)]

    chosen.change(guarded(another_choice, failed), [chosen, state], page, trigger_mode="multiple", **ON_MODEL)
    quiz.wish(guarded(step, failed), [chosen, state], page, **ON_MODEL)
    survey.tick(guarded(look_at_survey, failed), [chosen, state], page, **ON_MODEL)


def any_answer(session: Session) -> bool:
    return any(item.answer is not None for item in session.items)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


TAB = Tab("quiz", "Quiz", 60, build)
