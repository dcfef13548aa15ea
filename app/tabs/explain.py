"""The tab 'Explain': the picture, the best classes, and for the chosen class the rows 'this looks like that'."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.actions import explain as actions
from app.address import number
from app.library import Choice, Library
from app.tab import Tab
from app.views import explain as views
from app.views.templating import loading, readable
from app.widgets import ON_MODEL, guarded, html, telling, upload_field


def build(library: Library, chosen: gr.State) -> None:
    """Lay out the tab and wire it."""
    with gr.Row(elem_id="top", visible=False) as top:
        with gr.Column(min_width=280):
            picture = html(elem_id="case")
        with gr.Column(min_width=280):
            html(views.predictions_heading())
            classes = gr.Radio([], show_label=False, label="Most probable classes", elem_id="classes")
            bars = html(elem_id="bars")
            other = gr.Dropdown(
                [],
                value=None,
                label="Why not another class?",
                info="Type to search all of them",
                elem_id="other",
                interactive=True,
            )
            rows = gr.Radio(list(actions.ROWS), value=actions.ROWS[1], label="Prototypes to show", elem_id="rows")
    answer = html(loading("Loading the model and explaining an example…"), elem_id="answer")
    shown = [top, picture, classes, bars, other, rows, answer]

    def one_class(choice: Choice, label: int | None, count: int) -> tuple[Any, ...]:
        explainer, subject = library.explainer(choice), library.subject(choice)
        case = actions.explain_case(explainer, subject, label, count)
        names = [(readable(name), i) for i, name in enumerate(explainer.checkpoint.classes)]
        return (
            gr.Row(visible=True),
            views.case(case),
            gr.Radio(views.choices(case.predictions), value=case.shown.label),
            views.bars(case.predictions),
            gr.Dropdown(names, value=None),
            count,
            views.answer(case, count, choice.model),
        )

    def another_choice(choice: Choice, count: int) -> tuple[Any, ...]:
        wish = choice.wish(TAB.name)
        label, asked = number(wish, "class"), number(wish, "rows")
        known = choice.model and label in range(len(library.checkpoint(choice).classes))
        return one_class(choice, label if known else None, asked if asked in actions.ROWS else count)

    for event, action, inputs in (
        (chosen.change, another_choice, [chosen, rows]),
        (classes.input, one_class, [chosen, classes, rows]),
        (other.input, one_class, [chosen, other, rows]),
        (rows.input, one_class, [chosen, classes, rows]),
    ):
        event(guarded(action, _nothing), inputs, shown, **ON_MODEL)
    _endpoint(library)


def _endpoint(library: Library) -> None:
    """The one call for programs: explain the best class of a picture, as JSON."""

    @telling
    def explain(checkpoint: str, image: str | None, rows: int) -> dict[str, Any]:
        choice = Choice(checkpoint, upload=image or "")
        explainer, subject = library.explainer(choice), library.subject(choice)
        return actions.explain_subject(explainer, subject, None, rows).explanation.to_dict()

    with gr.Row(visible=False):
        fields = [gr.Textbox(label="checkpoint"), upload_field(label="image"), gr.Number(5, label="rows", precision=0)]
        public = {**ON_MODEL, "api_visibility": "public"}
        gr.Button().click(explain, fields, gr.JSON(), api_name="explain", **public)


def _nothing(message: str) -> tuple[Any, ...]:
    """A message in the place of an explanation."""
    hidden = gr.Row(visible=False)
    return hidden, "", gr.Radio([], value=None), "", gr.Dropdown([], value=None), gr.skip(), message


TAB = Tab("explain", "Explain", 10, build)
