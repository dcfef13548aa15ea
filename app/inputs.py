"""The panel of inputs that all tabs share: which checkpoint, which picture.

Its outcome is one state that holds a `Choice`; tabs listen to its changes and need not know how it came about.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from app import actions, views
from app.examples import Examples, Subject
from app.state import ModelStore
from protoexplain.errors import UserError
from protoexplain.explain.session import Explainer


def told(error: UserError) -> gr.Error:
    """The error as a message at the edge of the page."""
    return gr.Error(views.sentences(error), title="That did not work", print_exception=False)


def telling(action: Callable[..., Any]) -> Callable[..., Any]:
    """Let a handler's user errors appear in the page."""

    @functools.wraps(action)
    def handler(*arguments: Any) -> Any:  # noqa: ANN401
        try:
            return action(*arguments)
        except UserError as error:
            raise told(error) from error

    return handler


@dataclass(frozen=True)
class Choice:
    """What is to be explained; held by the server, never sent by a browser.

    Args:
        checkpoint: Name in the store, empty where there is none.
        example: Key of an example.
        upload: Path of an uploaded picture, which goes before the example.
    """

    checkpoint: str = ""
    example: str = ""
    upload: str = ""


@dataclass(frozen=True)
class Library:
    """All that can be chosen."""

    store: ModelStore
    examples: Examples

    def find(self, choice: Choice) -> tuple[Explainer, Subject]:
        """The model and the picture of a choice.

        Raises:
            UserError: It names something that is not there.
        """
        if not choice.checkpoint:
            raise UserError(
                "there is no checkpoint to explain with",
                "",
                f"train one into {self.store.root}, or start the app with --checkpoints FOLDER; then reload the page",
            )
        explainer = self.store.explainer(choice.checkpoint)
        if choice.upload:
            path = Path(choice.upload)
            return explainer, Subject(key="", name=path.name, content=path)
        if not choice.example:
            raise UserError("no picture is chosen", "", "drop one in, or choose an example")
        return explainer, self.examples.find(explainer.checkpoint, choice.example)


def upload_field(**options: Any) -> gr.File:  # noqa: ANN401
    """A place for one picture as its owner sent it; Gradio's own picture field would decode and convert it."""
    return gr.File(file_types=["image"], file_count="single", type="filepath", buttons=[], **options)


def build(library: Library, demo: gr.Blocks) -> gr.State:
    """Lay out the panel and wire it; the state holds the `Choice`."""
    store, examples = library.store, library.examples
    choice = gr.State(None)
    checkpoint = gr.Dropdown(label="Model", choices=[], elem_id="checkpoint", interactive=True)
    facts = gr.HTML(elem_id="facts", apply_default_css=False, js_on_load=None)
    upload = upload_field(label="Your picture (up to 8 MB)", height=150, elem_id="upload")
    gallery = gr.Gallery(
        label="Examples",
        allow_preview=False,
        columns=4,
        height=260,
        object_fit="cover",
        buttons=[],
        interactive=False,
        elem_id="examples",
    )

    def shelf(name: str) -> tuple[Any, str]:
        """Examples and facts of a checkpoint."""
        found = store.listed(name).checkpoint
        items = [(str(examples.thumbnail(s)), views.readable(s.truth or s.name)) for s in examples.of(found)]
        return gr.Gallery(items, selected_index=None), views.facts(actions.facts(found))

    def opened() -> tuple[Any, ...]:
        listed, broken = store.scan()
        notes = views.broken(broken)
        if not listed:
            return Choice(), gr.Dropdown(choices=[], value=None), notes, gr.Gallery([]), None
        first = listed[0]
        pictures, about = shelf(first.name)
        found = Choice(first.name, _first_key(examples, store, first.name))
        return found, gr.Dropdown(choices=views.titles(listed), value=first.name), about + notes, pictures, None

    @telling
    def another_checkpoint(name: str, before: Choice) -> tuple[Any, ...]:
        _, broken = store.scan()
        pictures, about = shelf(name)
        keys = {subject.key for subject in examples.of(store.listed(name).checkpoint)}
        example = before.example if before.example in keys else _first_key(examples, store, name)
        return replace(before, checkpoint=name, example=example), about + views.broken(broken), pictures

    @telling
    def an_example(before: Choice, event: gr.SelectData) -> tuple[Any, ...]:
        subjects = examples.of(store.listed(before.checkpoint).checkpoint)
        if event.index not in range(len(subjects)):
            raise UserError("there is no such example", "", "choose one of the pictures that are shown")
        return Choice(before.checkpoint, subjects[event.index].key), None

    def a_picture(path: str | None, before: Choice) -> Choice:
        return replace(before, upload=path or "")

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 4}
    demo.load(opened, None, [choice, checkpoint, facts, gallery, upload], **quiet)
    checkpoint.input(another_checkpoint, [checkpoint, choice], [choice, facts, gallery], **quiet)
    gallery.select(an_example, [choice], [choice, upload], **quiet)
    upload.upload(a_picture, [upload, choice], [choice], **quiet)
    upload.clear(a_picture, [upload, choice], [choice], **quiet)
    return choice


def _first_key(examples: Examples, store: ModelStore, name: str) -> str:
    subjects = examples.of(store.listed(name).checkpoint)
    return subjects[0].key if subjects else ""
