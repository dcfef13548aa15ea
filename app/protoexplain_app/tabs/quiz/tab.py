"""The tab 'Quiz': find out the hidden decision from prototypes, so that a study can measure whether they help.

'Start' chooses pictures by the settings (`begin`; where the model's mistakes are needed, a job first looks at all test
pictures).  Each answer is noted (`answer`), the next picture is explained for several classes (`ask`), and the last
page shows the score and the results as files.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from protoexplain.errors import UserError
from protoexplain_app.dataset_jobs import DEED
from protoexplain_app.image_predictions import PredictionJob
from protoexplain_app.library import Choice, Library
from protoexplain_app.links import Parameters, number
from protoexplain_app.roles import Role
from protoexplain_app.tab import Tab, TabEvents, polling_timer
from protoexplain_app.tabs.quiz import view as views
from protoexplain_app.tabs.quiz.actions import AGREEMENT, Query, Question, Session, answer, ask, begin, parse_query
from protoexplain_app.widgets import ON_MODEL, form, now_as_text

DEFAULTS = Query()


@dataclass(frozen=True)
class QuizState:
    """Where a visitor is.

    Args:
        query: The settings.
        model: Name of the model.
        session: None before the start.
        asked: What was shown with the last question.
        since: When it was asked.
        waiting: Whether the quiz starts as soon as the model has looked at all test pictures.
    """

    query: Query = DEFAULTS
    model: str = ""
    session: Session | None = None
    asked: Question | None = None
    since: float = 0.0
    waiting: bool = False


def build(library: Library, chosen: gr.State) -> None:
    """Lay out the tab and wire it."""
    quiz = form("quiz")
    state, clock = gr.State(QuizState()), polling_timer()

    def settings(query: Query, choice: Choice, notice: str = "") -> str:
        """The first page; it greys the task that needs work which the visitor may not begin."""
        checkpoint = library.checkpoint(choice)
        known = library.image_predictions.known(checkpoint).finished
        return views.start(query, notice, "" if known else library.access.refusal(Role.MEASURE, DEED))

    def on_choice(choice: Choice, before: QuizState, parameters: Parameters) -> list[Any]:
        running = before.session is not None and choice.model != before.model
        notice = "Another model was chosen, so the quiz starts anew." if running else ""
        query = parse_query(parameters) if parameters else before.query
        return shown(QuizState(query, choice.model), settings(query, choice, notice))

    def on_answer(choice: Choice, now: QuizState, parameters: Parameters) -> list[Any]:
        session = now.session
        match parameters.get("do"):
            case "start":
                return start(choice, QuizState(parse_query(parameters), choice.model))
            case "answer" if session is not None and number(parameters, "number") == len(session.items):
                answered = answer(session, number(parameters, "answer"), time.monotonic() - now.since)
                if now.query.feedback and now.asked is not None:
                    return shown(replace(now, session=answered), views.verdict(answered, now.asked))
                return next_question(replace(now, session=answered))
            case "next" if session is not None and session.open is None:
                return next_question(now)
            case "stop" if session is not None and session.queue and session.answered:
                return end(now, session)
            case "stop":
                return shown(QuizState(now.query, choice.model), settings(now.query, choice))
            case _:
                return events.unchanged()

    def start(choice: Choice, now: QuizState) -> list[Any]:
        explainer = library.explainer(choice)
        checkpoint, found = explainer.checkpoint, PredictionJob()
        if now.query.task == AGREEMENT:
            found = library.image_predictions.request(explainer)
            if not found.finished:
                return shown(replace(now, waiting=found.under_way), views.waiting(now.query, found))
        images, data = library.examples.of(checkpoint), library.examples.fingerprint(checkpoint)
        participant = secrets.token_hex(4)
        session = begin(checkpoint, choice.model, data, images, found.result or {}, now.query, participant)
        return next_question(replace(now, session=session, waiting=False))

    def next_question(now: QuizState) -> list[Any]:
        """The next question that can be asked, or the end."""
        session = now.session
        while session is not None and session.queue:
            try:
                explainer = library.store.explainer(session.model)
                image = library.examples.find(explainer.checkpoint, session.queue[0])
                asked, question = ask(explainer, session, image)
            except UserError:
                session = replace(session, queue=session.queue[1:])
                continue
            now = replace(now, session=asked, asked=question, since=time.monotonic())
            return shown(now, views.question(asked, question))
        return end(now, session) if session else shown(now, views.start(now.query))

    def end(now: QuizState, session: Session) -> list[Any]:
        return shown(replace(now, session=None), views.end(session, now_as_text()))

    def on_tick(choice: Choice, now: QuizState) -> list[Any]:
        return start(choice, now) if now.waiting else [gr.skip(), gr.skip(), gr.Timer(active=False)]

    def shown(now: QuizState, content: str) -> list[Any]:
        return [now, content, gr.Timer(active=now.waiting)]

    def on_error(message: str) -> list[Any]:
        return shown(QuizState(), message + views.start(DEFAULTS))

    events = TabEvents(TAB.name, chosen, state, [state, quiz, clock], on_error, ON_MODEL)
    events.on_choice(on_choice, of_model=True)
    events.on_query(quiz, on_answer, trigger_mode="once")
    events.on_tick(clock, on_tick)


TAB = Tab("quiz", "Quiz", 60, build)
