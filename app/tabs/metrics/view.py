"""HTML of the tab 'Metrics'."""

from __future__ import annotations

from collections.abc import Sequence

from app.tabs.metrics.actions import PER_CLASS, Report, Work
from app.templating import carried, page


def wishes(models: Sequence[tuple[str, str]], other: str) -> str:
    """Which model to compare with, as a form.

    Args:
        models: Titles and names of the other models.
        other: The one that is chosen, empty for none.
    """
    return page("tabs/metrics/query.html", models=models, other=other)


def report(shown: Report, model: str, other: str) -> str:
    """All that was measured."""
    return page(
        "tabs/metrics/page.html",
        report=shown,
        model=model,
        words={"with": other},
        csv=carried(shown.csv, "text/csv"),
        latex=carried(shown.latex, "text/plain"),
        name=f"metrics-{model.replace('/', '-')}",
    )


def work(shown: Work) -> str:
    """What can be measured, as a form; or how far it is."""
    return page("tabs/metrics/measure.html", work=shown, per_class=PER_CLASS)
