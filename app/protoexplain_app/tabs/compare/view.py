"""HTML of the tab 'Compare'."""

from __future__ import annotations

from collections.abc import Sequence

from protoexplain_app.input_image import InputImage
from protoexplain_app.library import Choice
from protoexplain_app.tabs.compare.actions import Query
from protoexplain_app.tabs.compare.comparison import Comparison
from protoexplain_app.templating import page

OFFERED = 60
"""So many pictures are offered to compare with."""


def query_form(
    query: Query,
    models: Sequence[tuple[str, str]],
    other: str,
    classes: Sequence[str],
    offered: Sequence[InputImage] = (),
    model: str = "",
) -> str:
    """What is compared, as a form, and the pictures to compare with.

    Args:
        query: What is compared.
        models: Titles and names of the other models.
        other: The picture or the model that is compared with.
        classes: Names of the classes.
        offered: Pictures to compare with; the one that is shown comes first.
        model: The chosen one.
    """
    return page(
        "tabs/compare/query.html",
        query=query,
        models=models,
        other=other,
        classes=classes,
        offered=sorted(offered, key=lambda image: image.key != other)[:OFFERED],
        model=model,
    )


def comparison(shown: Comparison, choice: Choice, query: Query, other: str) -> str:
    """Both sides and what sets them apart."""
    parameters = {"how": query.how, "other": other, "of": query.label}
    models = (choice.model, other) if query.how == "models" else (choice.model, choice.model)
    return page(
        "tabs/compare/page.html", shown=shown, parameters=parameters, models=models, pictures=query.how == "pictures"
    )
