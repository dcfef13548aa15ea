"""Where the choice lies: the panel and links change it, the open tab is shown it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from protoexplain_app.library import Choice
from protoexplain_app.panel import view as panel


@dataclass(frozen=True)
class NavigationState:
    """The states that a visit consists of.

    Args:
        choice: The `Choice`.
        here: Name of the open tab.
        address: What a link to the choice says.
        shown: Tab -> the choice that it was last shown.
    """

    choice: gr.State
    here: gr.State
    address: gr.HTML
    shown: Mapping[str, gr.State]

    @property
    def outputs(self) -> list[Any]:
        """What `put` fills."""
        return [self.choice, self.here, self.address, *self.shown.values()]

    def put(self, choice: Choice, here: str) -> list[Any]:
        """Values for `outputs` that make a choice; only the open tab is shown it, others when they are opened."""
        shown = [choice if name == here else gr.skip() for name in self.shown]
        return [choice, here, panel.address(choice), *shown]
