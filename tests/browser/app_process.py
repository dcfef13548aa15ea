"""The real app in a process of its own."""

from __future__ import annotations

import re
import socket
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from forked import start_command

import protoexplain_app

STARTS_WITHIN = 120
OURS = Path(protoexplain_app.__file__).parent
AROUND_ALL = {"guard", "telemetry"}
"""Modules that every request passes: they are in each traceback of Gradio's, which raises where a page is closed while
it waits for an answer."""


@contextmanager
def running(checkpoints, birds, folder):
    """The app in a process of its own: where it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["app", "--checkpoints", checkpoints, "--data", birds, "--port", port]
    started = start_command(*command, folder=folder, env={"XDG_CACHE_HOME": str(folder / "cache")})
    try:
        expected = f"Running on http://127.0.0.1:{port}"
        deadline = time.monotonic() + STARTS_WITHIN
        while not (started.out.exists() and expected in started.out.read_text()):
            if not started.process.is_alive() or time.monotonic() > deadline:
                pytest.fail(f"the app did not start:\n{started.err.read_text()}")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        started.process.terminate()
        code, told, trouble = started.ended(20)
        assert code in (0, 143)
        tracebacks = [part for part in (told + trouble).split("Traceback (most recent call last)") if _ours(part)]
        assert not tracebacks, f"our code is in a traceback:{tracebacks[0]}"


def _ours(traceback: str) -> bool:
    """Whether code of the app is part of it, other than what stands around every request, also around Gradio's own."""
    frames = re.findall(re.escape(str(OURS)) + r"/([\w/]+)\.py", traceback)
    return bool(set(frames) - AROUND_ALL)
