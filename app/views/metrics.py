"""HTML of the tab 'Metrics'."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from app.actions.metrics import PER_CLASS, Report, Work
from app.views.templating import page


def wishes(models: Sequence[tuple[str, str]], other: str) -> str:
    """Which model to compare with, as a form.

    Args:
        models: Titles and names of the other models.
        other: The one that is chosen, empty for none.
    """
    return page("metrics/wishes.html", models=models, other=other)


def report(shown: Report, model: str, other: str) -> str:
    """All that was measured."""
    return page(
        "metrics/report.html",
        report=shown,
        model=model,
        words={"with": other},
        csv=_data_uri(shown.csv, "text/csv"),
        latex=_data_uri(shown.latex, "text/plain"),
        name=f"metrics-{model.replace('/', '-')}",
    )


def work(shown: Work) -> str:
    """What can be measured, as a form; or how far it is."""
    return page("metrics/work.html", work=shown, per_class=PER_CLASS)


def _data_uri(text: str, kind: str) -> str:
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"
