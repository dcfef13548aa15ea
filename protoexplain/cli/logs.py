"""What `-v` and `--log-json` show on standard error: what is done, by Python's logging, for people or for programs."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from protoexplain.io.json_values import finite

OURS = ("protoexplain", "protoexplain_app")
EVERY = 60.0
"""Seconds between lines about one piece of work."""
log = logging.getLogger(__name__)


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger and message, the traceback as `exception`, and whatever the
    record brings along in `facts`."""

    def format(self, record: logging.LogRecord) -> str:
        content = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return json.dumps(finite(content), ensure_ascii=False, default=str)


class StandardError(logging.Handler):
    """Lines on standard error as it is when they come."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


def set_up(verbose: bool, as_json: bool) -> None:
    """Show what is done; without either option only warnings are shown, as Python does it by itself."""
    root = logging.getLogger()
    for earlier in [handler for handler in root.handlers if isinstance(handler, StandardError)]:
        root.removeHandler(earlier)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO if verbose or as_json else logging.NOTSET)
    if verbose or as_json:
        handler = StandardError()
        handler.setFormatter(JsonLines() if as_json else logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        root.addHandler(handler)


def as_json() -> bool:
    """Whether each line on standard error is to be a JSON object."""
    return any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger().handlers)


def shown() -> bool:
    """Whether what is done is shown."""
    return log.isEnabledFor(logging.INFO)


class LogWatcher:
    """Tells in the log when work begins and ends, and in between once a minute how far it is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def progress(self, what: str, done: int, total: int) -> None:
        now = self._clock()
        facts = {"work": what, "done": done, "total": total}
        if what not in self._began:
            self._began[what] = self._told[what] = now
            log.info("%s: begun, %d to do", what, total, extra={"facts": facts})
        if done >= total:
            seconds = now - self._began.pop(what)
            log.info("%s: done in %.1f s", what, seconds, extra={"facts": {**facts, "seconds": round(seconds, 3)}})
        elif now - self._told[what] >= EVERY:
            self._told[what] = now
            log.info("%s: %d of %d", what, done, total, extra={"facts": facts})

    def line(self, text: str) -> None:
        log.info("%s", text)
