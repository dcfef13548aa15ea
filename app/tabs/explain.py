"""The page 'Explain': the picture, the best classes, and for the chosen class the rows 'this looks like that'."""

from __future__ import annotations

import logging
from typing import Any

import gradio as gr

from app import actions, views
from app.inputs import Choice, Library, told, upload_field
from protoexplain.errors import UserError

log = logging.getLogger(__name__)
MODEL_QUEUE = "model"
"""Events with this concurrency id run the model, one after the other."""


def build(library: Library, chosen: gr.State) -> None:
    """Lay out the page and wire it."""
    with gr.Row(elem_id="top", visible=False) as top:
        with gr.Column(min_width=280):
            picture = gr.HTML(elem_id="case", apply_default_css=False, js_on_load=None)
        with gr.Column(min_width=280):
            gr.HTML(views.predictions_heading(), apply_default_css=False, js_on_load=None)
            classes = gr.Radio([], show_label=False, label="Most probable classes", elem_id="classes")
            bars = gr.HTML(apply_default_css=False, js_on_load=None, elem_id="bars")
            other = gr.Dropdown([], value=None, label="Ask about another class", elem_id="other", interactive=True)
            rows = gr.Radio(list(actions.ROWS), value=actions.ROWS[1], label="Prototypes to show", elem_id="rows")
    answer = gr.HTML(
        views.loading("Loading the model and explaining an example…"),
        elem_id="answer",
        apply_default_css=False,
        js_on_load=None,
    )
    shown = [top, picture, classes, bars, other, answer]

    def one_class(choice: Choice, label: int | None, count: int) -> tuple[Any, ...]:
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
            gr.Row(visible=True),
            views.case(case),
            gr.Radio(views.choices(case.predictions), value=case.shown.label),
            views.bars(case.predictions),
            gr.Dropdown(names, value=None),
            views.answer(case),
        )

    def best_class(choice: Choice, count: int) -> tuple[Any, ...]:
        return one_class(choice, None, count)

    model: dict[str, Any] = {"concurrency_id": MODEL_QUEUE, "concurrency_limit": 1}
    page: dict[str, Any] = {"outputs": shown, "show_progress": "hidden", "api_visibility": "private", **model}
    chosen.change(best_class, [chosen, rows], **page)
    classes.input(one_class, [chosen, classes, rows], **page)
    other.input(one_class, [chosen, other, rows], **page)
    rows.input(one_class, [chosen, classes, rows], **page)
    _endpoint(library, model)


def _endpoint(library: Library, model: dict[str, Any]) -> None:
    """The one call for programs: explain the best class of a picture, as JSON."""

    def explain(checkpoint: str, image: str | None, rows: int) -> dict[str, Any]:
        try:
            explainer, subject = library.find(Choice(checkpoint, upload=image or ""))
            return actions.explain_subject(explainer, subject, None, rows).explanation.to_dict()
        except UserError as error:
            raise told(error) from error

    with gr.Row(visible=False):
        fields = [gr.Textbox(label="checkpoint"), upload_field(label="image"), gr.Number(5, label="rows", precision=0)]
        gr.Button().click(explain, fields, gr.JSON(), api_name="explain", **model)


def _nothing(message: str) -> tuple[Any, ...]:
    """A message in the place of an explanation."""
    return gr.Row(visible=False), "", gr.Radio([], value=None), "", gr.Dropdown([], value=None), message
