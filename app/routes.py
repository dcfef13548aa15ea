"""What is answered beside the page: pictures of prototypes and examples, and whether the app is well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from app.library import Library
from protoexplain.errors import UserError

FOR_EVER = "private, max-age=31536000, immutable"
"""An address of a picture names its content, so a browser may keep it."""


def add_routes(app: FastAPI, library: Library, may_see: Callable[[Request], bool]) -> None:
    """Add the routes.

    Args:
        app: To add them to.
        library: All that can be chosen.
        may_see: Whether who asks may see pictures.
    """

    @app.get("/healthz")
    def alive() -> dict[str, bool]:
        return {"alive": True}

    @app.get("/readyz")
    def ready() -> JSONResponse:
        listed, broken = library.store.scan()
        good = library.store.has_loaded()
        told = {"ready": good, "checkpoints": len(listed), "broken": len(broken)}
        return JSONResponse(told, 200 if good else 503)

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

    def _admit(request: Request) -> None:
        if not may_see(request):
            raise HTTPException(401)


def _picture(read: Callable[[], bytes]) -> Response:
    try:
        content = read()
    except UserError as error:
        raise HTTPException(404) from error
    kind = "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"
    return Response(content, media_type=kind, headers={"Cache-Control": FOR_EVER, "X-Content-Type-Options": "nosniff"})
