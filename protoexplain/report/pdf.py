"""A report as PDF: the page of HTML, laid out for paper by WeasyPrint."""

from __future__ import annotations

import importlib
from typing import Any

from PIL import ImageFile

from protoexplain.errors import UserError
from protoexplain.report.html import page
from protoexplain.report.report import Report

_INSTALL = "install it (Debian: apt install libpango-1.0-0 libpangoft2-1.0-0), or write .html and print that"


def require_library() -> None:
    """Find out before the work whether PDF can be written.

    Raises:
        UserError: A library is missing; says how to install it.
    """
    _weasyprint()


def render(report: Report) -> bytes:
    """A PDF with bookmarks, A4.

    Raises:
        UserError: A library is missing; says how to install it.
    """
    library = _weasyprint()
    content: bytes = library.HTML(string=page(report), url_fetcher=_inline_only(library)).write_pdf()
    return content


def _weasyprint() -> Any:  # noqa: ANN401
    strict = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        return importlib.import_module("weasyprint")
    except ImportError as error:
        raise UserError("PDF needs the package WeasyPrint", ".pdf", "pip install weasyprint") from error
    except OSError as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"PDF needs the library Pango, which is not there: {reason}", ".pdf", _INSTALL) from error
    finally:  # the import would make the whole program take half pictures for whole ones
        ImageFile.LOAD_TRUNCATED_IMAGES = strict


def _inline_only(library: Any) -> Any:  # noqa: ANN401
    """Fetches what is inside the page, and nothing else."""
    return library.URLFetcher(allowed_protocols={"data"})
