"""The panel of inputs that all tabs share: which checkpoint, which picture.

Its outcome is one state, `Inputs.choice`; tabs listen to its changes and need not know how it came about.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from app import actions, views
from app.examples import Examples, Subject
from app.state import ModelStore
from protoexplain.errors import UserError
from protoexplain.explain.session import Explainer

from gradio.events import Dependency

class Upload(gr.Image):
    """A picture as its owner sent it.  The stock component decodes and converts it on the way."""

    is_template = True

    def preprocess(self, payload: Any) -> str | None:  # noqa: ANN401 - Gradio's own type
        return payload.path if payload is not None and payload.path else None
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block
    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component


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
class Inputs:
    """The components that tabs may listen to or read."""

    choice: gr.State
    checkpoint: gr.Dropdown
    upload: Upload


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


def build(library: Library, demo: gr.Blocks) -> Inputs:
    """Lay out the panel and wire it."""
    store, examples = library.store, library.examples
    choice = gr.State(Choice())
    checkpoint = gr.Dropdown(label="Model", choices=[], elem_id="checkpoint", interactive=True)
    facts = gr.HTML(elem_id="facts", apply_default_css=False, js_on_load=None)
    upload = Upload(
        label="Your picture (up to 8 MB)",
        type="filepath",
        image_mode=None,
        sources=["upload", "clipboard"],
        buttons=[],
        height=190,
        elem_id="upload",
    )
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
        titles = [(entry.title, entry.name) for entry in listed]
        return found, gr.Dropdown(choices=titles, value=first.name), about + notes, pictures, None

    def another_checkpoint(name: str, before: Choice) -> tuple[Any, ...]:
        _, broken = store.scan()
        pictures, about = shelf(name)
        keys = {subject.key for subject in examples.of(store.listed(name).checkpoint)}
        example = before.example if before.example in keys else _first_key(examples, store, name)
        return replace(before, checkpoint=name, example=example), about + views.broken(broken), pictures

    def an_example(before: Choice, event: gr.SelectData) -> tuple[Any, ...]:
        subjects = examples.of(store.listed(before.checkpoint).checkpoint)
        return Choice(before.checkpoint, subjects[int(event.index)].key), None

    def a_picture(path: str | None, before: Choice) -> Choice:
        return replace(before, upload=path or "")

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 4}
    demo.load(opened, None, [choice, checkpoint, facts, gallery, upload], **quiet)
    checkpoint.input(another_checkpoint, [checkpoint, choice], [choice, facts, gallery], **quiet)
    gallery.select(an_example, [choice], [choice, upload], **quiet)
    upload.upload(a_picture, [upload, choice], [choice], **quiet)
    upload.clear(a_picture, [upload, choice], [choice], **quiet)
    return Inputs(choice, checkpoint, upload)


def _first_key(examples: Examples, store: ModelStore, name: str) -> str:
    subjects = examples.of(store.listed(name).checkpoint)
    return subjects[0].key if subjects else ""