"""HTML of the tab 'Prototypes'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from protoexplain_app.tabs.prototypes.actions import Gallery, Query
from protoexplain_app.tabs.prototypes.details import PrototypeDetails
from protoexplain_app.tabs.prototypes.nearest import NearestInSplit, Search
from protoexplain_app.templating import page

TAB = "prototypes"


def query_form(query: Query, classes: Sequence[str], orders: Sequence[tuple[str, str]]) -> str:
    """What the gallery shows, as a form."""
    return page("tabs/prototypes/query.html", query=query, classes=classes, orders=orders)


def gallery(shown: Gallery, model: str, query: Query) -> str:
    """All tiles; pictures are loaded when they come into view."""
    return page("tabs/prototypes/page.html", gallery=shown, parameters=query.parameters, link=_link(model, query))


def details(shown: PrototypeDetails, model: str, query: Query) -> str:
    """One prototype and its training picture; leads back to the gallery as it was."""
    parameters = {**query.parameters, "prototype": shown.index}
    return page("tabs/prototypes/details.html", details=shown, parameters=parameters, link=_link(model, query))


def figures(shown: PrototypeDetails, model: str, query: Query) -> str:
    """Prototypes like it, and, folded, all that is known of it in numbers."""
    return page("tabs/prototypes/figures.html", details=shown, link=_link(model, query))


def nearest(search: Search, splits: Sequence[NearestInSplit], model: str, refused: str = "") -> str:
    """The nearest pictures of a prototype, or how they can be found; `refused` says why the visitor may not."""
    return page("tabs/prototypes/nearest.html", search=search, splits=splits, model=model, refused=refused)


def _link(model: str, query: Query) -> Mapping[str, object]:
    return {"model": model, "tab": TAB, **query.parameters}
