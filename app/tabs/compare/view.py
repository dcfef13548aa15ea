"""HTML of the tab 'Compare'."""

from __future__ import annotations

from collections.abc import Sequence

from app.examples import Subject
from app.library import Choice
from app.tabs.compare.actions import Comparison, Wish
from app.templating import page

OFFERED = 60
"""So many pictures are offered to compare with."""


def wishes(
    wish: Wish,
    models: Sequence[tuple[str, str]],
    other: str,
    classes: Sequence[str],
    offered: Sequence[Subject] = (),
    model: str = "",
) -> str:
    """What is compared, as a form, and the pictures to compare with.

    Args:
        wish: What is compared.
        models: Titles and names of the other models.
        other: The picture or the model that is compared with.
        classes: Names of the classes.
        offered: Pictures to compare with; the one that is shown comes first.
        model: The chosen one.
    """
    return page(
        "tabs/compare/query.html",
        wish=wish,
        models=models,
        other=other,
        classes=classes,
        offered=sorted(offered, key=lambda subject: subject.key != other)[:OFFERED],
        model=model,
    )


def comparison(shown: Comparison, choice: Choice, wish: Wish, other: str) -> str:
    """Both sides and what sets them apart."""
    words = {"how": wish.how, "other": other, "of": wish.label}
    models = (choice.model, other) if wish.how == "models" else (choice.model, choice.model)
    return page("tabs/compare/page.html", shown=shown, words=words, models=models, pictures=wish.how == "pictures")
