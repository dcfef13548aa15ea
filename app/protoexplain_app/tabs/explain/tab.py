"""The tab 'Explain': the picture, the best classes, and for the chosen class the rows 'this looks like that'.

Another picture, class or setting calls `one_class`: `explain_image` runs the model and draws an `ExplanationView`, and
the templates show its picture and its rows.  The same explanation is offered to programs as `/explain`.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from protoexplain.class_names import readable
from protoexplain.view.image_pictures import SIMILARITY
from protoexplain_app.library import Choice, Library
from protoexplain_app.links import number
from protoexplain_app.tab import Tab
from protoexplain_app.tabs.explain import actions
from protoexplain_app.tabs.explain import view as views
from protoexplain_app.tabs.explain.box_tests import WHEN_LOOKED_AT, DueTests, Explained
from protoexplain_app.templating import loading
from protoexplain_app.widgets import ON_MODEL, html, script, show_errors, toast_errors, upload_field


def build(library: Library, chosen: gr.State) -> None:
    """Lay out the tab and wire it."""
    html(views.introduction(), elem_id="introduction")
    with gr.Row(elem_id="explain-view"):
        with gr.Column(elem_id="top", visible=False) as top:
            picture = html(elem_id="explained")
            with gr.Column(elem_id="guesses"):
                html(views.predictions_heading())
                classes = gr.Radio([], show_label=False, label="Most probable classes", elem_id="classes")
                bars = html(elem_id="bars")
            with gr.Accordion("Settings", open=False, elem_id="settings"):
                other = gr.Dropdown(
                    [],
                    value=None,
                    label="Why not another class?",
                    info="Type to search all of them",
                    elem_id="other",
                    interactive=True,
                )
                rows = gr.Radio(list(actions.ROWS), value=actions.ROWS[1], label="Prototypes to show", elem_id="rows")
                heat = gr.Dropdown(
                    views.methods(),
                    value=SIMILARITY,
                    label="Heat maps by",
                    info="The similarity map is the model's own; the others ask pixel by pixel, which takes seconds",
                    elem_id="heat",
                    interactive=True,
                )
                html(views.strength())
                why = gr.Checkbox(
                    False,
                    label="Say what each match rests on",
                    info="Hue, shape, texture and the like: changes the picture and looks again, which takes a second",
                    elem_id="why",
                )
        answer = html(
            loading("Loading the model and explaining an example…"),
            elem_id="answer",
            js_on_load=script("tabs/explain/script.js"),
        )
    tested, due = html(elem_id="box-tests"), gr.State(DueTests())
    shown = [top, picture, classes, bars, other, rows, heat, why, answer]

    def one_class(
        choice: Choice, label: int | None, count: int, method: str, reasons: bool, due: DueTests
    ) -> tuple[Any, ...]:
        due.withdraw()
        explainer, input_image = library.explainer(choice), library.input_image(choice)
        view = actions.explain_image(explainer, input_image, label, count, method, reasons)
        due.explained = Explained(choice, view.shown.label, count)
        names = [(readable(name), i) for i, name in enumerate(explainer.checkpoint.classes)]
        return (
            gr.Column(visible=True),
            views.picture(view),
            gr.Radio(views.choices(view.predictions), value=view.shown.label),
            views.bars(view.predictions),
            gr.Dropdown(names, value=None),
            count,
            method,
            reasons,
            views.answer(view, count, method, reasons, choice.model, choice.visit),
        )

    def on_choice(choice: Choice, count: int, method: str, reasons: bool, due: DueTests) -> tuple[Any, ...]:
        parameters = choice.parameters_for(TAB.name)
        label, asked = number(parameters, "class"), number(parameters, "rows")
        known = choice.model and label in range(len(library.checkpoint(choice).classes))
        heat_by = parameters.get("heat", method)
        return one_class(
            choice,
            label if known else None,
            asked if asked in actions.ROWS else count,
            heat_by if heat_by in {name for _, name in views.methods()} else method,
            reasons or parameters.get("why") == "1",
            due,
        )

    def on_explained(due: DueTests) -> Any:  # noqa: ANN401
        """The answer is there; what takes longer is told beside its rows."""
        found = due.run(library)
        return gr.skip() if found is None else views.box_tests(*found)

    slow = {"show_progress": "full", "show_progress_on": [answer]}
    for event, action, inputs, looks in (
        (chosen.change, on_choice, [chosen, rows, heat, why, due], {}),
        (classes.input, one_class, [chosen, classes, rows, heat, why, due], {}),
        (other.input, one_class, [chosen, other, rows, heat, why, due], {}),
        (rows.input, one_class, [chosen, classes, rows, heat, why, due], {}),
        (heat.input, one_class, [chosen, classes, rows, heat, why, due], slow),
        (why.input, one_class, [chosen, classes, rows, heat, why, due], slow),
    ):
        explained = event(
            show_errors(action, _nothing), inputs, shown, **{**ON_MODEL, "trigger_mode": "multiple", **looks}
        )
        explained.then(
            show_errors(on_explained, lambda message: ""),
            [due],
            [tested],
            js=WHEN_LOOKED_AT,
            **{**ON_MODEL, "concurrency_id": "box tests"},
        )
    _endpoint(library)


def _endpoint(library: Library) -> None:
    """The one call for programs: explain the best class of a picture, as JSON."""

    @toast_errors
    def explain(checkpoint: str, image: str | None, rows: int) -> dict[str, Any]:
        """Say what a picture shows, and why: the predictions, and the prototypes that speak for and against the best.

        Args:
            checkpoint: Name of a trained model, as the page lists it.
            image: The picture: JPEG, PNG, WebP and the like, up to 8 MB.
            rows: How many prototypes to tell of.

        Returns:
            The explanation: predictions with probabilities; for the best class the prototypes with similarity, evidence
            and the boxes of the picture's region and of the training patch that it looks like.
        """
        choice = Choice(checkpoint, upload=image or "")
        explainer, input_image = library.explainer(choice), library.input_image(choice)
        return actions.explanation_of(explainer, input_image, None, rows).explanation.to_dict()

    with gr.Row(visible=False):
        fields = [gr.Textbox(label="checkpoint"), upload_field(label="image"), gr.Number(5, label="rows", precision=0)]
        public = {**ON_MODEL, "api_visibility": "public"}
        gr.Button().click(explain, fields, gr.JSON(), api_name="explain", **public)


def _nothing(message: str) -> tuple[Any, ...]:
    """A message in the place of an explanation."""
    hidden = gr.Column(visible=False)
    return (
        hidden,
        "",
        gr.Radio([], value=None),
        "",
        gr.Dropdown([], value=None),
        gr.skip(),
        gr.skip(),
        gr.skip(),
        message,
    )


TAB = Tab("explain", "Explain", 10, build, uses_picture=True)
