"""HTML of the tab 'Explain'."""

from __future__ import annotations

from collections.abc import Sequence

from app.links import encode
from app.templating import page
from protoexplain.explanations.attribution.methods import METHODS
from protoexplain.explanations.evidence.local import Prediction
from protoexplain.view.explanation_view import ExplanationView
from protoexplain.view.image_pictures import SIMILARITY
from protoexplain.view.numbers import percent, readable


def picture(view: ExplanationView) -> str:
    """The whole picture and the verdict."""
    return page("tabs/explain/picture.html", view=view)


def answer(view: ExplanationView, rows: int, method: str, why: bool, model: str) -> str:
    """Why, or why not: the rows and their sum."""
    parameters = {
        "class": view.shown.label,
        "rows": rows,
        "heat": "" if method == SIMILARITY else method,
        "why": 1 if why else "",
    }

    def address(prototype: int) -> str:
        return "?" + encode({"model": model, "tab": "prototypes", "prototype": prototype})

    return page("tabs/explain/page.html", view=view, parameters=parameters, address=address)


def introduction() -> str:
    """What is seen here, for those who have not put it away."""
    return page("tabs/explain/introduction.html")


def strength() -> str:
    """How strong heat maps are drawn, which the page does by itself."""
    return page("tabs/explain/strength.html")


def predictions_heading() -> str:
    return page("tabs/explain/heading.html")


def choices(predictions: Sequence[Prediction]) -> list[tuple[str, int]]:
    """Labels of the list of classes, and their values."""
    return [(f"{readable(entry.name)} · {percent(entry.probability)}", entry.label) for entry in predictions]


def methods() -> list[tuple[str, str]]:
    """Ways to draw heat maps, and their names; the one that costs nothing first."""
    fit = [(method.title, name) for name, method in METHODS.items() if "prototype" in method.kinds]
    return sorted(fit, key=lambda entry: entry[1] != SIMILARITY)


def bars(predictions: Sequence[Prediction]) -> str:
    """A style sheet that draws the probabilities behind the list of classes."""
    return page("tabs/explain/bars.html", predictions=predictions)
