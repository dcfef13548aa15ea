"""Reports as HTML, PDF and JSON: seconds and size, for 20 classes, 200 prototypes and 5 pictures.

Each round is a whole command, with the start of Python, in a process of its own.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.startup import run_command
from benchmarks.timing import settings, show
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.file_names import THUMBS
from protoexplain.checkpoint.folders import shipped_checkpoints

PICTURES, TARGET_SECONDS, TARGET_MEGABYTES = 5, 20.0, 10.0


def child_seconds() -> float:
    """CPU seconds of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    options = settings(__doc__, repeats=3)
    checkpoint = Checkpoint.load(shipped_checkpoints() / "planted-protopnet")
    sources = list(dict.fromkeys(record.source for record in checkpoint.prototypes if record.source))
    chosen = sources[:: max(1, len(sources) // PICTURES)][:PICTURES]
    pictures = [str(checkpoint.path / THUMBS / name) for name in chosen]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("html", "pdf", "json"):
            out, cpu, wall = Path(folder) / f"report.{ending}", [], []
            for _ in range(options.repeats):
                before, start = child_seconds(), time.perf_counter()
                run_command("-m", "protoexplain", "report", str(checkpoint.path), *pictures, "--out", str(out))
                cpu.append(child_seconds() - before)
                wall.append(time.perf_counter() - start)
            rows.append((ending, median(wall), median(cpu), out.stat().st_size / 1e6))
    show(f"reports of {len(checkpoint.prototypes)} prototypes", ("", "wall s", "CPU s", "MB"), rows)
    for ending, _, seconds, megabytes in rows:
        options.verdict(f"{ending}, CPU s", seconds, TARGET_SECONDS)
        options.verdict(f"{ending}, MB", megabytes, TARGET_MEGABYTES)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
