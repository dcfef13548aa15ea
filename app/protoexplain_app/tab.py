"""What a tab is, how tabs are found, and how the events of a tab call its handlers.

A tab is a folder: `tabs/quiz/tab.py` publishes `TAB` and is then a tab of the app, without any other change.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from protoexplain_app import tabs
from protoexplain_app.library import Choice, Library
from protoexplain_app.links import form_parameters
from protoexplain_app.widgets import QUIET, show_errors

POLL_SECONDS = 0.7
"""Between two questions how far a job is."""
Handler = Callable[..., list[Any]]
"""(choice, state, parameters, what the browser keeps) -> a value for each output; a clock says no parameters, and most
tabs keep nothing."""


@dataclass(frozen=True)
class Tab:
    """A way to look at a checkpoint and a picture.

    Args:
        name: That of its folder; the value of `tab` in addresses.
        title: For people.
        order: Tabs stand in this order.
        build: (library, choice) lays out the tab and wires it.  The state `choice` holds the `Choice`; it changes only
            while the tab is open, and when the tab is opened after another choice was made, so a tab that listens to
            its changes does no work unseen.  The HTML that a tab shows says in `data-address`, as a part of a query,
            what would bring a visitor back to it; the tab finds that again in `Choice.parameters_for`.
        uses_picture: Whether it shows something of the chosen picture, so that others can be chosen beside it.
    """

    name: str
    title: str
    order: int
    build: Callable[[Library, gr.State], None]
    uses_picture: bool = False


def find_tabs() -> tuple[Tab, ...]:
    """All tabs in their order."""
    names = [found.name for found in pkgutil.iter_modules(tabs.__path__)]
    found: list[Tab] = [importlib.import_module(f"{tabs.__name__}.{name}.tab").TAB for name in names]
    return tuple(sorted(found, key=lambda tab: (tab.order, tab.name)))


def polling_timer() -> gr.Timer:
    """A clock that asks how far a job is; a handler starts and stops it."""
    return gr.Timer(POLL_SECONDS, active=False)


@dataclass(frozen=True)
class TabEvents:
    """Calls the handlers of a tab, and fills its widgets with what they return.

    A handler takes the choice of the visitor, the state of the tab, and the parameters that a link or a form says, and
    returns a value for each output.

    Args:
        name: Of the tab.
        chosen: Holds the `Choice`.
        state: Holds what the tab remembers of a visit.
        outputs: The widgets that handlers fill.
        on_error: Message as HTML -> what is shown instead where a handler fails.
        limits: How many handlers run at a time, as `QUIET` and `ON_MODEL`; by default one of this tab.
        browser_state: Holds what the browser keeps of earlier visits; handlers take it last.  None where a tab needs no
            such.
    """

    name: str
    chosen: gr.State
    state: gr.State
    outputs: Sequence[Any]
    on_error: Callable[[str], list[Any]]
    limits: Mapping[str, Any] | None = None
    browser_state: gr.BrowserState | None = None

    def unchanged(self) -> list[Any]:
        """The outputs as they are."""
        return [gr.skip()] * len(self.outputs)

    def on_choice(self, handler: Handler, *, of_model: bool = False) -> None:
        """A link, another model, or another picture.

        Args:
            handler: Takes the parameters of the link.
            of_model: Whether the tab shows nothing of the picture, so that it stays as it is until `state.model` is
                no longer the chosen one or a link asks for something.
        """

        def handle(choice: Choice, state: Any, *browser_state: Any) -> list[Any]:  # noqa: ANN401
            parameters = choice.parameters_for(self.name)
            if of_model and not parameters and choice.model == state.model:
                return self.unchanged()
            return handler(choice, state, parameters, *browser_state)

        self._call(self.chosen.change, _named_after(handler, handle))

    def on_query(
        self,
        form: gr.HTML,
        handler: Handler,
        *,
        read: Callable[[str], Any] = form_parameters,
        outputs: Sequence[Any] | None = None,
        on_error: Callable[[str], list[Any]] | None = None,
        trigger_mode: str = "multiple",
    ) -> None:
        """A form that was sent or changed; `read` makes what the handler takes of its fields."""

        def handle(choice: Choice, state: Any, event: gr.EventData, *browser_state: Any) -> list[Any]:  # noqa: ANN401
            return handler(choice, state, read(str(event.query)), *browser_state)

        self._call(form.query, _named_after(handler, handle), outputs, on_error, trigger_mode)

    def on_browser_state(self, handler: Handler) -> None:
        """What the browser keeps is known, a moment after the page has opened, or has changed."""
        if self.browser_state is not None:
            self._call(self.browser_state.change, handler)

    def on_tick(self, timer: gr.Timer, handler: Handler, **options: Any) -> None:  # noqa: ANN401
        """A tick of a clock; one that comes while the handler still runs is left out."""
        self._call(timer.tick, handler, trigger_mode="once", **options)

    def _call(
        self,
        event: Callable[..., Any],
        handler: Callable[..., list[Any]],
        outputs: Sequence[Any] | None = None,
        on_error: Callable[[str], list[Any]] | None = None,
        trigger_mode: str = "multiple",
    ) -> None:
        event(
            show_errors(handler, on_error or self.on_error),
            [self.chosen, self.state, *([] if self.browser_state is None else [self.browser_state])],
            [*(self.outputs if outputs is None else outputs)],
            trigger_mode=trigger_mode,
            **(self.limits or {**QUIET, "concurrency_id": self.name, "concurrency_limit": 1}),
        )


def _named_after(handler: Handler, handle: Handler) -> Handler:
    """The log and the figures name the handler."""
    handle.__name__, handle.__qualname__ = handler.__name__, handler.__qualname__
    handle.__module__ = handler.__module__
    return handle
