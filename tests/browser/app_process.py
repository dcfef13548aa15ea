"""The real app in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import app

STARTS_WITHIN = 120


@contextmanager
def running(checkpoints, birds, folder):
    """The app in a process of its own: where it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "app.log"
    command = ["-m", "protoexplain", "app", "--checkpoints", checkpoints, "--data", birds, "--port", port]
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
        )
    try:
        expected = f"Running on http://127.0.0.1:{port}"
        deadline = time.monotonic() + STARTS_WITHIN
        while expected not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the app did not start:\n{log.read_text()}")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait(20) in (0, 143)
        assert str(Path(app.__file__).parent) not in log.read_text(), "our code is in a traceback"
