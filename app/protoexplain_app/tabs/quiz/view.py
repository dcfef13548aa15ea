"""HTML of the tab 'Quiz'."""

from __future__ import annotations

from protoexplain_app.image_predictions import PredictionJob
from protoexplain_app.tabs.quiz.actions import AGREEMENT, LENGTHS, SCALE, Query, Question, Session, score
from protoexplain_app.tabs.quiz.results import as_csv, as_json
from protoexplain_app.templating import data_uri, page


def start(query: Query, notice: str = "", refused: str = "") -> str:
    """What the quiz is about, and its settings; `refused` says why the visitor cannot have the second task."""
    return page(
        "tabs/quiz/page.html",
        query=query,
        lengths=LENGTHS,
        parameters=query.parameters,
        notice=notice,
        refused=refused,
    )


def waiting(query: Query, job: PredictionJob) -> str:
    """The model has to look at the test pictures first."""
    return page("tabs/quiz/waiting.html", job=job, parameters=query.parameters)


def question(session: Session, asked: Question) -> str:
    """A picture and explanations, and what can be answered."""
    return page(
        "tabs/quiz/question.html", session=session, asked=asked, scale=SCALE, parameters=session.query.parameters
    )


def verdict(session: Session, asked: Question) -> str:
    """Whether the last answer was right, beside what was shown."""
    return page(
        "tabs/quiz/verdict.html",
        session=session,
        item=session.items[-1],
        asked=asked,
        parameters=session.query.parameters,
        last=not session.queue,
    )


def end(session: Session, finished: str) -> str:
    """Score, and the results to take away."""
    return page(
        "tabs/quiz/end.html",
        session=session,
        score=score(session),
        parameters=session.query.parameters,
        agreement=session.query.task == AGREEMENT,
        json=data_uri(as_json(session, finished), "application/json"),
        csv=data_uri(as_csv(session, finished), "text/csv"),
        name=f"quiz-{session.query.task}-{session.query.seed}-{session.participant}",
    )
