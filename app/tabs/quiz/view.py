"""HTML of the tab 'Quiz'."""

from __future__ import annotations

from collections.abc import Mapping

from app.surveys import Survey
from app.tabs.quiz.actions import AGREEMENT, LENGTHS, SCALE, Question, Session, Wish, score
from app.tabs.quiz.results import as_csv, as_json
from app.templating import carried, page


def start(wish: Wish, notice: str = "") -> str:
    """What the quiz is about, and its settings."""
    return page("tabs/quiz/page.html", wish=wish, lengths=LENGTHS, words=_words(wish), notice=notice)


def waiting(wish: Wish, survey: Survey) -> str:
    """The model has to look at the test pictures first."""
    return page("tabs/quiz/waiting.html", survey=survey, words=_words(wish))


def question(session: Session, asked: Question) -> str:
    """A picture and explanations, and what can be answered."""
    return page("tabs/quiz/question.html", session=session, asked=asked, scale=SCALE, words=_words(session.wish))


def verdict(session: Session) -> str:
    """Whether the last answer was right."""
    return page(
        "tabs/quiz/verdict.html",
        session=session,
        item=session.items[-1],
        words=_words(session.wish),
        last=not session.queue,
    )


def end(session: Session, finished: str) -> str:
    """Score, and the results to take away."""
    return page(
        "tabs/quiz/end.html",
        session=session,
        score=score(session),
        words=_words(session.wish),
        agreement=session.wish.task == AGREEMENT,
        json=carried(as_json(session, finished), "application/json"),
        csv=carried(as_csv(session, finished), "text/csv"),
        name=f"quiz-{session.wish.task}-{session.wish.seed}-{session.participant}",
    )


def _words(wish: Wish) -> Mapping[str, object]:
    feedback = 1 if wish.feedback else None
    return {"task": wish.task, "seed": wish.seed, "length": wish.length, "feedback": feedback}
