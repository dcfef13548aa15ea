"""What the app counts and times, in the text format of Prometheus, and what it says of it in the log.

The figures are of this process.  They name events, routes and kinds of jobs, never visitors, pictures or models.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from protoexplain.errors import UserError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
EVENTS = Histogram(
    "protoexplain_event_seconds",
    "Until an event of the page was answered.",
    ["event", "outcome"],
    registry=REGISTRY,
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
)
REQUESTS = Histogram(
    "protoexplain_http_request_seconds",
    "Until the answer to a request was sent whole; streams last as long as they are listened to.",
    ["method", "route", "status"],
    registry=REGISTRY,
    buckets=(0.01, 0.1, 1, 10),
)
JOBS = Gauge("protoexplain_jobs", "Jobs of the queue that wait or run.", ["kind", "state"], registry=REGISTRY)
JOBS_OVER = Counter("protoexplain_jobs_over", "Jobs that are over.", ["kind", "state"], registry=REGISTRY)
MODEL_LOADS = Histogram(
    "protoexplain_model_load_seconds", "Until a model was in memory.", ["outcome"], registry=REGISTRY
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def figures() -> bytes:
    """All of them as text."""
    return generate_latest(REGISTRY)


@contextmanager
def timed(histogram: Histogram, *labels: str) -> Iterator[None]:
    """Time the block: answered, refused with a reason for the user, or failed."""
    began, outcome = time.perf_counter(), "answered"
    try:
        yield
    except UserError:
        outcome = "refused"
        raise
    except Exception:
        outcome = "failed"
        raise
    finally:
        seconds = time.perf_counter() - began
        histogram.labels(*labels, outcome).observe(seconds)
        facts = {"what": " ".join(labels), "outcome": outcome, "seconds": round(seconds, 4)}
        log.info("%s %s in %.3f s", facts["what"] or "loading a model", outcome, seconds, extra={"facts": facts})


class TimedRequests:
    """Times requests by their route; what has none is `other`, so that nobody can make up labels.

    Args:
        app: That answers them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = getattr(scope.get("route"), "path", "") or "other"
            REQUESTS.labels(method, route, str(status)).observe(time.perf_counter() - began)
