"""A report for programs: the report itself as JSON; report.schema.json describes it."""

from __future__ import annotations

import json

from protoexplain.report.report import Report


def render(report: Report) -> bytes:
    """UTF-8."""
    return (json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")
