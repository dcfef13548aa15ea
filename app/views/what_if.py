"""HTML of the tab 'What if'."""

from __future__ import annotations

from app.actions.what_if import CELLS, SLIDERS, USES, Outcome, Wish
from app.views.templating import page
from protoexplain.explain.characteristics.perturbations import MODIFICATIONS
from protoexplain.report.numbers import readable
from protoexplain.view.sentences import about_what_if


def original(shown: Outcome, wish: Wish) -> str:
    """The picture as it is, to paint on."""
    return page("what_if/original.html", shown=shown, wish=wish, cells=CELLS)


def controls(wish: Wish) -> str:
    """Sliders, questions and tools for painting, as a form."""
    return page("what_if/controls.html", wish=wish, sliders=SLIDERS, known=MODIFICATIONS, uses=USES)


def changed(shown: Outcome) -> str:
    """The changed picture."""
    return page("what_if/changed.html", shown=shown)


def answer(shown: Outcome, wish: Wish, turn: int = 0) -> str:
    """What the change does to the classes; `turn` lets the page see that it is a new answer."""
    return page(
        "what_if/answer.html", shown=shown, sentence=about_what_if(shown.found, readable), words=wish.words, turn=turn
    )


def prototypes(shown: Outcome, model: str) -> str:
    """Prototypes that lost and gained."""
    return page("what_if/prototypes.html", shown=shown, model=model)
