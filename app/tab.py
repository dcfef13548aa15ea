"""Tabs by folder: `tabs/quiz/tab.py` publishes `TAB` and is then a tab of the app, without any other change."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import tabs

if TYPE_CHECKING:
    import gradio as gr

    from app.library import Library


@dataclass(frozen=True)
class Tab:
    """A way to look at a checkpoint and a picture.

    Args:
        name: That of its folder; the word for it in addresses.
        title: For people.
        order: Tabs stand in this order.
        build: (library, choice) lays out the tab and wires it.  The state `choice` holds the `Choice`; it changes only
            while the tab is open, and when the tab is opened after another choice was made, so a tab that listens to
            its changes does no work unseen.  The HTML that a tab shows says in `data-address`, as a part of a query,
            what would bring a visitor back to it; the tab finds that again in `Choice.wish`.
    """

    name: str
    title: str
    order: int
    build: Callable[[Library, gr.State], None]


def find_tabs() -> tuple[Tab, ...]:
    """All tabs in their order."""
    modules = [
        importlib.import_module(f"{tabs.__name__}.{found.name}.tab") for found in pkgutil.iter_modules(tabs.__path__)
    ]
    found: list[Tab] = [module.TAB for module in modules]
    return tuple(sorted(found, key=lambda tab: (tab.order, tab.name)))
