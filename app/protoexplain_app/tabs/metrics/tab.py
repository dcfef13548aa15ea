"""The tab 'Metrics': what was measured of a model, what it means, and what can be measured yet.

What was measured is read from the checkpoint and shown at once, beside another model's where one is chosen.  The button
'Measure' starts a job; a clock asks how far it is, and when it is over the page shows the new numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from protoexplain.errors import UserError
from protoexplain_app.library import Choice, Library
from protoexplain_app.links import Parameters
from protoexplain_app.tab import Tab, TabEvents, polling_timer
from protoexplain_app.tabs.metrics import view as views
from protoexplain_app.tabs.metrics.actions import report
from protoexplain_app.tabs.metrics.measuring import MeasurementRequest, measurement_form, parse_request
from protoexplain_app.templating import error_message, loading
from protoexplain_app.widgets import form, html


@dataclass(frozen=True)
class MetricsState:
    """Args: model: name of the one that is shown; other: of the one that it is compared with, empty for none."""

    model: str = ""
    other: str = ""


def build(library: Library, chosen: gr.State) -> None:
    """Lay out the tab and wire it."""
    query_form = form("metrics-query")
    measured = html(loading("Reading what was measured…"), elem_id="metrics-report")
    measure = form("metrics-work")
    state, clock = gr.State(MetricsState()), polling_timer()

    def on_choice(choice: Choice, before: MetricsState, parameters: Parameters) -> list[Any]:
        library.checkpoint(choice)
        return shown(choice, parameters.get("with", before.other))

    def on_query(choice: Choice, before: MetricsState, parameters: Parameters) -> list[Any]:
        return shown(choice, parameters.get("with", ""))

    def on_request(choice: Choice, now: MetricsState, asked: MeasurementRequest) -> list[Any]:
        checkpoint = library.checkpoint(choice)
        try:
            if asked.do == "cancel":
                library.measurements.cancel(checkpoint)
            elif asked.do == "start":
                library.measurements.start(checkpoint, asked.names, asked.per_class)
        except UserError as error:
            return [error_message(error) + views.measure(measurement_form(library, choice)), gr.skip()]
        return [views.measure(measurement_form(library, choice)), gr.Timer(active=True)]

    def on_tick(choice: Choice, now: MetricsState) -> list[Any]:
        """How far the measurement is; when it is over, what it found."""
        offered = measurement_form(library, choice)
        if offered.job.under_way:
            return [gr.skip(), gr.skip(), gr.skip(), views.measure(offered), gr.skip()]
        return shown(choice, now.other)

    def shown(choice: Choice, other: str) -> list[Any]:
        titles = library.store.titles()
        models = [(title, name) for name, title in titles.items() if name != choice.model]
        other = other if other in titles and other != choice.model else ""
        offered = measurement_form(library, choice)
        return [
            MetricsState(choice.model, other),
            views.query_form(models, other),
            views.report(report(library, choice, other, titles), choice.model, other),
            views.measure(offered),
            gr.Timer(active=offered.job.under_way),
        ]

    def on_error(message: str) -> list[Any]:
        return [MetricsState(), "", message, "", gr.Timer(active=False)]

    events = TabEvents(TAB.name, chosen, state, [state, query_form, measured, measure, clock], on_error)
    events.on_choice(on_choice, of_model=True)
    events.on_query(query_form, on_query)
    events.on_query(
        measure,
        on_request,
        read=parse_request,
        outputs=[measure, clock],
        on_error=lambda message: [message, gr.skip()],
    )
    events.on_tick(clock, on_tick)


TAB = Tab("metrics", "Metrics", 35, build)
