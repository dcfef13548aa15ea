"""What is answered beside the page: pictures, reports, and whether the app is well."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from protoexplain.errors import UserError
from protoexplain_app.library import Library
from protoexplain_app.roles import Role
from protoexplain_app.telemetry import MEDIA_TYPE, figures

CACHED_FOR_A_YEAR = "private, max-age=31536000, immutable"
"""An address of a picture names its content, so a browser may keep it."""
_REPORT_TYPES = {".html": "text/html; charset=utf-8", ".pdf": "application/pdf", ".json": "application/json"}
_SANDBOX = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'"


def add_routes(
    app: FastAPI,
    library: Library,
    role_of: Callable[[Request], Role | None],
    may_count: Callable[[Request], Awaitable[bool]],
) -> None:
    """Add the routes.

    Args:
        app: To add them to.
        library: All that can be chosen.
        role_of: The role of who asks; None for who has to log in first.
        may_count: Whether who asks may read the figures.
    """

    @app.get("/healthz")
    def alive() -> dict[str, bool]:
        return {"alive": True}

    @app.get("/readyz")
    def ready() -> JSONResponse:
        listed, broken = library.store.scan()
        good = library.store.has_loaded()
        state = {"ready": good, "checkpoints": len(listed), "broken": len(broken)}
        return JSONResponse(state, 200 if good else 503)

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        """What the app counts, for Prometheus."""
        if not await may_count(request):
            raise HTTPException(401, headers={"WWW-Authenticate": 'Basic realm="protoexplain"'})
        return Response(figures(), media_type=MEDIA_TYPE)

    @app.get("/thumbnail/{token}")
    def thumbnail(token: str, request: Request) -> Response:
        """A small copy of a picture that can be chosen."""
        _admit(request)
        return _picture(lambda: library.examples.thumbnail(token))

    @app.get("/prototype/{checkpoint}/{kind}/{index}")
    def prototype(checkpoint: str, kind: Literal["patch", "source"], index: int, request: Request) -> Response:
        """The training patch of a prototype, or the training picture."""
        _admit(request)
        return _picture(lambda: library.store.picture(checkpoint, index, kind))

    @app.get("/report/{token}/preview")
    def preview(token: str, request: Request) -> Response:
        """A report as a page, to be shown inside ours."""
        _admit(request, Role.MEASURE)
        return _report(library, token, ".html", "inline")

    @app.get("/report/{token}/file.{kind}")
    def report(token: str, kind: Literal["html", "pdf", "json"], request: Request) -> Response:
        """A report as a file, to be taken along."""
        _admit(request, Role.MEASURE)
        return _report(library, token, f".{kind}", "attachment")

    def _admit(request: Request, needed: Role = Role.LOOK) -> None:
        role = role_of(request)
        if role is None:
            raise HTTPException(401)
        if not role.covers(needed):
            raise HTTPException(403)


def _picture(read: Callable[[], bytes]) -> Response:
    try:
        content = read()
    except UserError as error:
        raise HTTPException(404) from error
    kind = "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"
    return Response(content, media_type=kind, headers={"Cache-Control": CACHED_FOR_A_YEAR})


def _report(library: Library, token: str, ending: str, disposition: Literal["inline", "attachment"]) -> Response:
    """A file of a report; a page among them runs no scripts and asks nobody for anything."""
    try:
        name, content = library.reports.file(token, ending)
    except UserError as error:
        raise HTTPException(404) from error
    headers = {
        "Cache-Control": "private, no-store",
        "Content-Disposition": f'{disposition}; filename="{name}"',
        "Content-Security-Policy": _SANDBOX,
    }
    return Response(content, media_type=_REPORT_TYPES[ending], headers=headers)
