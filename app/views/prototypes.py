"""HTML of the tab 'Prototypes'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.actions.portrait import Portrait
from app.actions.prototypes import Gallery, Wish
from app.views.templating import page

TAB = "prototypes"


def wishes(wish: Wish, classes: Sequence[str], orders: Sequence[tuple[str, str]]) -> str:
    """What the gallery shows, as a form."""
    return page("prototypes/wishes.html", wish=wish, classes=classes, orders=orders)


def gallery(shown: Gallery, model: str, wish: Wish) -> str:
    """All tiles; pictures are loaded when they come into view."""
    words = wish_words(wish)
    return page("prototypes/gallery.html", gallery=shown, words=words, link={**_link(model), **words})


def portrait(shown: Portrait, model: str, wish: Wish) -> str:
    """One prototype; leads back to the gallery as it was."""
    words = {**wish_words(wish), "prototype": shown.index}
    return page(
        "prototypes/portrait.html",
        portrait=shown,
        words=words,
        link={**_link(model), **wish_words(wish)},
    )


def wish_words(wish: Wish) -> Mapping[str, object]:
    """The words of an address that bring the same gallery."""
    reverse = 1 if wish.reverse else None
    return {"find": wish.find, "class": wish.label, "sort": wish.sort, "reverse": reverse}


def _link(model: str) -> Mapping[str, object]:
    return {"model": model, "tab": TAB}
