"""The real app in a process of its own."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from forked import start_command

import protoexplain_app

STARTS_WITHIN = 120


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
        assert str(Path(protoexplain_app.__file__).parent) not in told + trouble, "our code is in a traceback"
