"""HTML of the tab 'Explain'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from protoexplain.class_names import readable
from protoexplain.explanations.attribution.methods import METHODS
from protoexplain.explanations.evidence.local import Prediction
from protoexplain.explanations.evidence.occlusion_test import BoxOcclusionTest
from protoexplain.view.explanation_view import ExplanationView
from protoexplain.view.image_pictures import SIMILARITY
from protoexplain.view.numbers import percent
from protoexplain.view.sentences import about_blanking
from protoexplain_app.links import encode
from protoexplain_app.templating import page


def picture(view: ExplanationView) -> str:
    """The whole picture and the verdict."""
    return page("tabs/explain/picture.html", view=view)


def answer(view: ExplanationView, rows: int, method: str, why: bool, model: str, visit: int = 0) -> str:
    """Why, or why not: the rows and their sum.

    Args:
        view: The explanation.
        rows: How many prototypes were asked for.
        method: Of the heat maps.
        why: Whether it says what each match rests on.
        model: Name of the checkpoint.
        visit: Of the picture; what is told later, see `box_tests`, names the same.
    """
    parameters = {
        "class": view.shown.label,
        "rows": rows,
        "heat": "" if method == SIMILARITY else method,
        "why": 1 if why else "",
    }

    def address(prototype: int) -> str:
        return "?" + encode({"model": model, "tab": "prototypes", "prototype": prototype})

    return page("tabs/explain/page.html", view=view, parameters=parameters, address=address, visit=visit)


def box_tests(tested: Mapping[int, BoxOcclusionTest], visit: int) -> str:
    """What covering the boxes of matches does, for the page to put into the rows."""
    return page("tabs/explain/box_tests.html", tested=tested, visit=visit, about=about_blanking)


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
