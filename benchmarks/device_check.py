"""Does everything work on this accelerator, as on the CPU?

Every family as a tiny model is trained, projected, pruned, measured, edited and explained on the device, and one step
of a published preset is timed there, each in float32, TF32, bfloat16 and float16.  What fails is told and stops nothing
else: each cell of the table is a process of its own.  On a computer without an accelerator the same is done on the CPU
in float32, with a smaller step.

    python -m benchmarks.device_check --minutes 4 --out device.md
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.device_cell import STEP
from benchmarks.device_compare import FABRIC
from benchmarks.device_family import draw_birds
from benchmarks.device_table import Cell, read_lines, write_tables
from protoexplain.devices import resolve_device
from protoexplain.models.registry import family_names

ROOT = Path(__file__).resolve().parents[1]
RESERVE = 10
"""Seconds of the budget for the tables."""
PROCESSES = 8
STEPS_SHARE = 0.5
"""The steps may take this share of the budget."""
NO_ACCELERATOR = "not run: needs an accelerator"


def check(families: Sequence[str], device: str, minutes: float, folder: Path) -> list[Cell]:
    """Fill all cells within so many minutes: first the steps, which have the device for themselves.

    Args:
        families: Names.
        device: ``cuda`` or ``cpu``.
        minutes: Budget of all.
        folder: Of what is made.
    """
    began = time.monotonic()
    steps_end, ends = began + 60 * minutes * STEPS_SHARE, began + 60 * minutes - RESERVE
    precisions = ["float32"] if device == "cpu" else list(FABRIC)
    draw_birds(folder / "birds")
    steps = [run(STEP, device, precision, folder, steps_end) for precision in precisions]
    with ThreadPoolExecutor(max(1, min(PROCESSES, (os.cpu_count() or 1) // 2))) as pool:
        started = [
            pool.submit(run, family, device, precision, folder, ends) for precision in precisions for family in families
        ]
        cells = [*steps, *(future.result() for future in started)]
    left_out = [Cell(name, each, (), NO_ACCELERATOR) for name in (STEP, *families) for each in FABRIC]
    return cells + [cell for cell in left_out if cell.precision not in precisions]


def run(name: str, device: str, precision: str, folder: Path, ends: float) -> Cell:
    """Fill a cell in a process of its own, which is killed when the time is over."""
    seconds = ends - time.monotonic()
    if seconds <= 1:
        return Cell(name, precision, (), "not run: no time was left")
    own = folder / f"{name}-{precision}"
    own.mkdir()
    lines, log = own / "lines.jsonl", own / "log.txt"
    arguments = (name, device, precision, folder / "birds", own, lines)
    command = [sys.executable, "-m", "benchmarks.device_cell", *map(str, arguments)]
    environment = {**os.environ, **({} if name == STEP else {"OMP_NUM_THREADS": "1"})}
    ended = ""
    with log.open("w") as stream:
        try:
            code = subprocess.run(
                command, cwd=ROOT, env=environment, stdout=stream, stderr=stream, timeout=seconds
            ).returncode
            ended = f"the process ended with {code}" if code else ""
        except subprocess.TimeoutExpired:
            ended = "stopped: no time was left"
    return Cell(name, precision, read_lines(lines), ended, log.read_text(errors="replace")[-20_000:])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="auto", help="as protoexplain --device (default auto: the best there is)")
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--out", type=Path, default=Path("device_check.md"), help=".md; .json and .log lie beside it")
    parser.add_argument("--families", nargs="*", default=family_names(), help="by default all")
    given = parser.parse_args()
    device = str(resolve_device(given.device))
    with tempfile.TemporaryDirectory(prefix="device-check-") as folder:
        cells = check(given.families, device, given.minutes, Path(folder))
    return write_tables(cells, device, given.out)


if __name__ == "__main__":
    sys.exit(main())
