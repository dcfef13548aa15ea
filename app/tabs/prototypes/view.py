"""HTML of the tab 'Prototypes'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.tabs.prototypes.actions import Gallery, Wish
from app.tabs.prototypes.drawn_nearest import NearSplit
from app.tabs.prototypes.nearest_search import Search
from app.tabs.prototypes.prototype import Portrait
from app.templating import page

TAB = "prototypes"


def wishes(wish: Wish, classes: Sequence[str], orders: Sequence[tuple[str, str]]) -> str:
    """What the gallery shows, as a form."""
    return page("tabs/prototypes/query.html", wish=wish, classes=classes, orders=orders)


def gallery(shown: Gallery, model: str, wish: Wish) -> str:
    """All tiles; pictures are loaded when they come into view."""
    words = wish_words(wish)
    return page("tabs/prototypes/page.html", gallery=shown, words=words, link={**_link(model), **words})


def portrait(shown: Portrait, model: str, wish: Wish) -> str:
    """One prototype; leads back to the gallery as it was."""
    words = {**wish_words(wish), "prototype": shown.index}
    return page(
        "tabs/prototypes/prototype.html",
        portrait=shown,
        words=words,
        link={**_link(model), **wish_words(wish)},
    )


def nearby(search: Search, splits: Sequence[NearSplit], model: str) -> str:
    """The nearest pictures of a prototype, or how they can be found."""
    return page("tabs/prototypes/nearest.html", search=search, splits=splits, model=model)


def wish_words(wish: Wish) -> Mapping[str, object]:
    """The words of an address that bring the same gallery."""
    reverse = 1 if wish.reverse else None
    return {"find": wish.find, "class": wish.label, "sort": wish.sort, "reverse": reverse}


def _link(model: str) -> Mapping[str, object]:
    return {"model": model, "tab": TAB}
