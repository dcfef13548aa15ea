"""HTML of the tab 'Metrics'."""

from __future__ import annotations

from collections.abc import Sequence

from app.tabs.metrics.actions import MetricsReport
from app.tabs.metrics.measuring import PER_CLASS, MeasurementForm
from app.templating import data_uri, page


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
        model=model,
        parameters={"with": other},
        csv=data_uri(shown.csv, "text/csv"),
        latex=data_uri(shown.latex, "text/plain"),
        name=f"metrics-{model.replace('/', '-')}",
    )


def measure(shown: MeasurementForm) -> str:
    """What can be measured, as a form; or how far it is."""
    return page("tabs/metrics/measure.html", work=shown, per_class=PER_CLASS)
