"""Visitors go first: work in the background pauses while somebody waits for a model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PAUSE = 0.02
"""Seconds between looks at whether anybody waits."""


class Courtesy:
    """Counts the visitors that wait; may be used from any thread."""

    def __init__(self) -> None:
        self._waiting = 0
        self._lock = threading.Lock()

    @contextmanager
    def visitor(self) -> Iterator[None]:
        """Somebody waits while the block runs."""
        with self._lock:
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    def give_way(self) -> None:
        """Return as soon as nobody waits."""
        while self._waiting:
            time.sleep(PAUSE)


VISITORS = Courtesy()
"""Those of this process: its cores are what they wait for."""
