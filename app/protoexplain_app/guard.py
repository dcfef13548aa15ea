"""What stands before every request: size, origin, login, the few routes that the page needs; and the headers of every
answer.  Gradio checks much of this itself; here it holds whatever a route of it forgets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse

from protoexplain_app.uploads import LARGEST

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = LARGEST * 4 // 3 + (1 << 20)
"""Bytes of a request: an upload as programs may write it, in base64, and what is said about it."""
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
"""Gradio makes scripts of text, so these are allowed; but nothing may be loaded from or sent to another site."""
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
"""Of every answer that does not say otherwise itself."""
READING = ("GET", "HEAD", "OPTIONS")
_NEEDED = re.compile(
    r"/gradio_api/(info|openapi\.json|queue/(join|data|status)|upload(_progress)?|call/.*|cancel|reset|heartbeat/.*"
    r"|startup-events|login_check|user|token|app_id|theme\.css|mcp(/.*)?)/?"
)
"""Routes of Gradio that the page and programs need; it has others, which fetch addresses, hand out files or call parts
of the page."""
_BEFORE_LOGIN = re.compile(
    r"/|/(login|config|favicon\.ico|theme\.css|robots\.txt|manifest\.json|healthz|readyz|metrics)/?"
    r"|/(assets|static|svelte)/.*|/gradio_api/(login_check|user|app_id|theme\.css)/?"
)
"""What the page of the login is made of, and what decides itself who may see it."""


class Guard:
    """Refuses requests before anything is read of them.

    Args:
        app: What is guarded.
        admits: Whether who asks may come in.
    """

    def __init__(self, app: ASGIApp, admits: Callable[[HTTPConnection], bool]) -> None:
        self._app, self._admits = app, admits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused = self._refused(scope)
        if refused is not None:
            await _with_headers(refused, scope, receive, send)
            return
        await _with_headers(self._app, scope, _limited(receive), send)

    def _refused(self, scope: Scope) -> PlainTextResponse | None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            return PlainTextResponse(f"a request has at most {LARGEST_BODY:,} bytes", 413)
        if path.startswith("/gradio_api") and not _NEEDED.fullmatch(path):
            return PlainTextResponse("there is no such page", 404)
        if scope.get("method") not in READING and foreign(headers):
            return PlainTextResponse(
                "a page of another site may not do this; a server in between has to pass on the header Host", 403
            )
        if not _BEFORE_LOGIN.fullmatch(path) and not self._admits(HTTPConnection(scope)):
            return PlainTextResponse("please log in", 401)
        return None


def foreign(headers: Mapping[str, str]) -> bool:
    """Whether a browser sends a request for a page of another site; programs say nothing about that.

    Browsers say it outright where the page came by HTTPS or from their own computer, and name the page's site else.
    """
    told = headers.get("sec-fetch-site")
    if told is not None:
        return told not in ("same-origin", "none")
    origin = headers.get("origin")
    site = None if origin is None else origin.partition("://")[2]
    return site is not None and site not in (headers.get("host"), headers.get("x-forwarded-host"))


def _limited(receive: Receive) -> Receive:
    """The parts of a request until they are too long; then it is as if whoever sends it had gone."""
    read = 0

    async def counted() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        return message if read <= LARGEST_BODY else {"type": "http.disconnect"}

    return counted


async def _with_headers(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    async def headed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    await app(scope, receive, headed)
