"""Fair timing on a busy machine: the arms of a comparison take turns, and ratios are formed within each round.

CPU seconds of the process hide waiting for neighbours, so the ratios that count are those of CPU time.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

Work = Callable[[], object]
_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Times:
    """CPU and wall seconds of each round."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def ratio(self, baseline: Times) -> float:
        """Median over the rounds of this CPU time divided by the baseline's."""
        return median(own / other for own, other in zip(self.cpu, baseline.cpu, strict=True))

    def least_ratio(self, baseline: Times) -> float:
        """Least CPU time divided by the baseline's least."""
        return min(self.cpu) / min(baseline.cpu)


@dataclass(frozen=True)
class Settings:
    """What every benchmark can be told."""

    repeats: int
    quick: bool

    def verdict(self, what: str, value: float, target: float, at_least: bool = False) -> None:
        """Say whether a target is met; a quick run is too small to tell."""
        if self.quick:
            return
        met = value >= target if at_least else value <= target
        sign = ">=" if at_least else "<="
        print(f"{what}: {_text(value)} (target {sign} {_text(target)}) {'met' if met else 'MISSED'}")


def settings(description: str | None, repeats: int) -> Settings:
    """Read the command line and set the number of threads.

    Args:
        description: Of the benchmark; its first line is shown.
        repeats: Rounds, where the command line does not say.
    """
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, help=f"rounds (default {repeats})")
    parser.add_argument("--quick", action="store_true", help="smallest work, one round: does it run at all?")
    given = parser.parse_args()
    _use_threads(given.threads)
    print(f"{given.threads} thread(s), load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return Settings(given.repeats or (1 if given.quick else repeats), given.quick)


def _use_threads(threads: int) -> None:
    import cv2
    import torch

    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def timed(work: Work, times: Times) -> None:
    """Do the work once and note what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    times.cpu.append(time.process_time() - cpu)
    times.wall.append(time.perf_counter() - wall)


def interleave(arms: Mapping[str, Work], repeats: int, warm: bool = True) -> dict[str, Times]:
    """Time the arms in turn, `repeats` rounds; a round in between starts where the one before ended.

    Args:
        arms: Name -> work.
        repeats: Rounds.
        warm: Do each work once before.
    """
    if warm:
        for work in arms.values():
            work()
    results = {name: Times() for name in arms}
    for number in range(repeats):
        names = list(arms)
        for name in names if number % 2 == 0 else reversed(names):
            gc.collect()
            timed(arms[name], results[name])
    return results


@dataclass(frozen=True)
class Command:
    """Seconds that a command took."""

    wall: float
    cpu: float


def run_command(*words: str, expected: int = 0) -> Command:
    """Run this Python with the given arguments, which ends with the `expected` code.

    Raises:
        RuntimeError: It ended with another; holds its last words.
    """
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([sys.executable, *words], stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != expected:
            said.seek(0)
            raise RuntimeError(f"{' '.join(words)}: {said.read().decode()[-2000:]}")
    return Command(wall, used.ru_utime + used.ru_stime)


def peak_mib(work: Work) -> float:
    """MiB that the resident memory of the process grows by at most during the work; NaN where Linux is not."""
    work()
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        _CLEAR_REFS.write_text("5")
    except OSError:
        return float("nan")
    before = _status("VmRSS")
    work()
    return (_status("VmHWM") - before) / 1024


def _status(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; numbers get three significant digits or so."""
    table = Table(*columns, title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    Console(width=140).print(table)


def compare(title: str, results: Mapping[str, Times], baseline: str, peaks: Mapping[str, float] | None = None) -> None:
    """Print medians and minima of times, ratios to the baseline, and peak memory if given."""
    base = results[baseline]
    show(
        title,
        ("", "CPU s", "CPU s min", "wall s", "CPU ratio", "CPU ratio min", *(["peak MiB"] if peaks else [])),
        [
            (
                name,
                median(times.cpu),
                min(times.cpu),
                median(times.wall),
                times.ratio(base),
                times.least_ratio(base),
                *([peaks[name]] if peaks else []),
            )
            for name, times in results.items()
        ],
    )


def _text(cell: object) -> str:
    if not isinstance(cell, float):
        return str(cell)
    return f"{cell:.0f}" if abs(cell) >= 1000 else f"{cell:.3g}" if abs(cell) < 1 else f"{cell:.2f}"
