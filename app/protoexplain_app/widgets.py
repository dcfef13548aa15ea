"""Widgets and event settings that the panel and all tabs use."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr

from protoexplain.errors import UserError
from protoexplain_app.jobs import REQUESTS
from protoexplain_app.telemetry import EVENTS, timed
from protoexplain_app.templating import error_message, internal_error, sentences

log = logging.getLogger(__name__)
ROOT = Path(__file__).parent

QUIET: Mapping[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 4}
"""For events that only read."""
ON_CHOICE: Mapping[str, Any] = {**QUIET, "concurrency_id": "choice", "concurrency_limit": 1, "trigger_mode": "multiple"}
"""For events that change what a visitor has chosen: one after the other, each from what the one before has left, and
none is dropped.  Two at a time would both begin with the same choice, and the slower one would undo the other."""
ON_MODEL: Mapping[str, Any] = {
    "show_progress": "hidden",
    "api_visibility": "private",
    "concurrency_id": "model",
    "concurrency_limit": 1,
}
"""For events that run a model: one after the other."""


def html(value: str = "", **options: Any) -> gr.HTML:  # noqa: ANN401
    """HTML of ours, without the looks and the scripts that Gradio would add."""
    return gr.HTML(value, apply_default_css=False, **{"js_on_load": None, **options})


def script(*files: str) -> str:
    """Our scripts, one after the other; each is named as it lies below this package."""
    return "\n".join((ROOT / file).read_text(encoding="utf-8") for file in files)


def form(elem_id: str) -> gr.HTML:
    """A place for a form of ours; its event ``query`` tells the fields as `query`, the parameters of an address."""
    return html(elem_id=elem_id, js_on_load=script("theme/form.js"))


def upload_field(**options: Any) -> gr.File:  # noqa: ANN401
    """A place for one picture as its owner sent it; Gradio's own picture field would decode and convert it."""
    return gr.File(file_types=["image"], file_count="single", type="filepath", buttons=[], **options)


def show_errors(action: Callable[..., Any], failed: Callable[[str], Any]) -> Callable[..., Any]:
    """Let a handler say in the page what went wrong.

    Args:
        action: The handler.
        failed: Message as HTML -> what is shown instead of the handler's outputs.
    """

    @wraps(action)
    def handler(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        try:
            with REQUESTS.answering(), timed(EVENTS, _event(action)):
                return action(*arguments, **named)
        except UserError as error:
            return failed(error_message(error))
        except Exception:
            log.exception("%s failed", action.__qualname__)
            return failed(internal_error())

    return handler


def now_as_text() -> str:
    """Date and time in UTC, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def toast(error: UserError) -> gr.Error:
    """The error as a message at the edge of the page."""
    return gr.Error(sentences(error), title="That did not work", print_exception=False)


def toast_errors(action: Callable[..., Any]) -> Callable[..., Any]:
    """Let a handler's user errors appear at the edge of the page."""

    @wraps(action)
    def handler(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        try:
            with timed(EVENTS, _event(action)):
                return action(*arguments, **named)
        except UserError as error:
            raise toast(error) from error

    return handler


def _event(action: Callable[..., Any]) -> str:
    """The handler by the folder of its module and its own name, as ``metrics.on_request``."""
    return f"{action.__module__.split('.')[-2]}.{action.__name__}"
