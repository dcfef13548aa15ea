"""How a report is written: the ending of the file's name chooses."""

from __future__ import annotations

import importlib
from pathlib import Path

from protoexplain.errors import UserError
from protoexplain.io.atomic import write_file
from protoexplain.report.report import Report

FORMATS = {".html": "html", ".pdf": "pdf", ".json": "json"}
"""Ending -> module of its renderer."""


def require_format(path: Path) -> str:
    """The ending of a file's name, if it can be written.

    Raises:
        UserError: It cannot: an unknown ending, a folder, or PDF without its library.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        what = f"a report cannot be written as '{suffix}'" if suffix else "the name of the report has no ending"
        raise UserError(what, str(path), f"end its name with {', '.join(list(FORMATS)[:-1])} or {list(FORMATS)[-1]}")
    if path.is_dir():
        raise UserError("there is a folder of this name", str(path), "choose another name")
    if suffix == ".pdf":
        from protoexplain.report.pdf import require_library

        require_library()
    return suffix


def render(report: Report, suffix: str) -> bytes:
    """A report as it is written to files with this ending.

    Raises:
        UserError: A library is missing.
    """
    module = importlib.import_module(f"protoexplain.report.{FORMATS[suffix]}")
    content: bytes = module.render(report)
    return content


def write_report(report: Report, path: Path) -> None:
    """Write or replace a file.

    Raises:
        UserError: As `require_format`, or it cannot be written.
    """
    write_file(path, render(report, require_format(path)))
