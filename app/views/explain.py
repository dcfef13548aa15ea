"""HTML of the tab 'Explain'."""

from __future__ import annotations

from collections.abc import Sequence

from app.case import Case
from app.views.templating import page, percent, readable
from protoexplain.explain.local import Prediction


def case(shown: Case) -> str:
    """The whole picture and the verdict."""
    return page("explain/case.html", case=shown)


def answer(shown: Case, rows: int, model: str) -> str:
    """Why, or why not: the rows and their sum."""
    return page("explain/answer.html", case=shown, words={"class": shown.shown.label, "rows": rows}, model=model)


def predictions_heading() -> str:
    return page("explain/predictions.html")


def choices(predictions: Sequence[Prediction]) -> list[tuple[str, int]]:
    """Labels of the list of classes, and their values."""
    return [(f"{readable(entry.name)} · {percent(entry.probability)}", entry.label) for entry in predictions]


def bars(predictions: Sequence[Prediction]) -> str:
    """A style sheet that draws the probabilities behind the list of classes."""
    return page("explain/bars.html", predictions=predictions)
