"""HTML of the tab 'Metrics'."""

from __future__ import annotations

from collections.abc import Sequence

from protoexplain.metrics.registry import get_metric, list_metrics
from protoexplain_app.tabs.metrics.actions import MetricsReport
from protoexplain_app.tabs.metrics.lights import Colour, Grade
from protoexplain_app.tabs.metrics.measuring import PER_CLASS, MeasurementForm
from protoexplain_app.templating import data_uri, page

WORDS = {Colour.GREEN: "yes", Colour.YELLOW: "in part", Colour.RED: "no", Colour.GREY: "not measured"}
GRADES = {
    Grade.GOOD: "good",
    Grade.OPEN: "good, but so is a baseline that knows nothing",
    Grade.MIDDLING: "middling",
    Grade.BAD: "bad",
}


def query_form(models: Sequence[tuple[str, str]], other: str) -> str:
    """Which model to compare with, as a form.

    Args:
        models: Titles and names of the other models.
        other: The one that is chosen, empty for none.
    """
    return page("tabs/metrics/query.html", models=models, other=other)


def report(shown: MetricsReport, model: str, other: str) -> str:
    """All that was measured."""
    return page(
        "tabs/metrics/page.html",
        report=shown,
        words=WORDS,
        grades=GRADES,
        titles={name: get_metric(name).title for name in list_metrics()},
        model=model,
        parameters={"with": other},
        csv=data_uri(shown.csv, "text/csv"),
        latex=data_uri(shown.latex, "text/plain"),
        name=f"metrics-{model.replace('/', '-')}",
    )


def measure(shown: MeasurementForm) -> str:
    """What can be measured, as a form; or how far it is."""
    return page("tabs/metrics/measure.html", work=shown, per_class=PER_CLASS)
