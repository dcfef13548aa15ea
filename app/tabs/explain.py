"""The page 'Explain': the picture, the best classes, and for the chosen class the rows 'this looks like that'."""

from __future__ import annotations

import logging
from typing import Any

import gradio as gr

from app import actions, views
from app.inputs import Choice, Inputs, Library
from protoexplain.errors import UserError

log = logging.getLogger(__name__)
MODEL_QUEUE = "model"
"""Events with this concurrency id run the model, one after the other."""


def build(library: Library, inputs: Inputs) -> None:
    """Lay out the page and wire it."""
    with gr.Row(elem_id="top"):
        with gr.Column(scale=3, min_width=280):
            picture = gr.HTML(elem_id="case", apply_default_css=False, js_on_load=None)
        with gr.Column(scale=2, min_width=280):
            heading = gr.HTML(views.predictions_heading(), apply_default_css=False, js_on_load=None)
            classes = gr.Radio([], show_label=False, label="Most probable classes", elem_id="classes", visible=False)
            bars = gr.HTML(apply_default_css=False, js_on_load=None, elem_id="bars")
            other = gr.Dropdown(
                [], value=None, label="Ask about another class", elem_id="other", interactive=True, visible=False
            )
            rows = gr.Radio(
                list(actions.ROWS), value=actions.ROWS[1], label="Prototypes to show", elem_id="rows"
            )
    answer = gr.HTML(
        views.loading("Loading the model and explaining an example…"),
        elem_id="answer",
        apply_default_css=False,
        js_on_load=None,
    )
    shown = [picture, classes, bars, other, answer]

    def explain(choice: Choice, label: int | None, count: int) -> tuple[Any, ...]:
        try:
            explainer, subject = library.find(choice)
            case = actions.explain_case(explainer, subject, label, count)
        except UserError as error:
            return _nothing(views.refusal(error))
        except Exception:
            log.exception("explaining failed")
            return _nothing(views.breakdown())
        names = [(views.readable(name), i) for i, name in enumerate(explainer.checkpoint.classes)]
        return (
            views.case(case),
            gr.Radio(views.choices(case.predictions), value=case.shown.label, visible=True),
            views.bars(case.predictions),
            gr.Dropdown(names, value=None, visible=True),
            views.answer(case),
        )

    def first(choice: Choice, count: int) -> tuple[Any, ...]:
        return explain(choice, None, count)

    def as_json(checkpoint: str, image: str | None, count: int) -> dict[str, Any]:
        """Explain a picture with a checkpoint: predictions, and evidence for the best class."""
        try:
            explainer, subject = library.find(Choice(checkpoint or "", upload=image or ""))
            return actions.explain_subject(explainer, subject, None, count).explanation.to_dict()
        except UserError as error:
            raise gr.Error(str(error)) from error

    model: dict[str, Any] = {"concurrency_id": MODEL_QUEUE, "concurrency_limit": 1}
    page: dict[str, Any] = {"outputs": shown, "show_progress": "hidden", "api_visibility": "private", **model}
    inputs.choice.change(first, [inputs.choice, rows], **page)
    classes.input(explain, [inputs.choice, classes, rows], **page)
    other.input(explain, [inputs.choice, other, rows], **page)
    rows.input(explain, [inputs.choice, classes, rows], **page)
    told = gr.JSON(visible=False)
    gr.Button(visible=False).click(
        as_json, [inputs.checkpoint, inputs.upload, rows], told, api_name="explain", **model
    )


def _nothing(message: str) -> tuple[Any, ...]:
    """A message in the place of an explanation."""
    hidden = gr.Radio([], value=None, visible=False)
    return "", hidden, "", gr.Dropdown(visible=False), message
