"""One cell of the device check in a process of its own: a family, or the step of the preset, in a precision.

An accelerator that has failed once refuses all further work of its process, so each cell has its own.  What is done is
written line by line, so that it is known even of a process that dies.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks import device_family, device_step
from benchmarks.device_compare import Deviation, Told, set_arithmetic

STEP = "step"


def run_cell(name: str, device: str, precision: str, data: Path, folder: Path, lines: Path) -> None:
    """Do all works of a cell and append a line of JSON for each; nothing can be done without a trained model.

    Args:
        name: Of a family, or `STEP`.
        device: As `--device` names it.
        precision: A key of `FABRIC`.
        data: Folder of the birds.
        folder: Of what is made.
        lines: File of the lines.
    """
    set_arithmetic(precision)
    subject: Any
    if name == STEP:
        subject, works = device_step.Step(device, precision), device_step.WORKS
    else:
        subject, works = device_family.Work(name, device, precision, data, folder), device_family.WORKS
    for title, work in works.items():
        began = time.monotonic()
        line = {"work": title, **_done(work, subject), "seconds": round(time.monotonic() - began, 2)}
        with lines.open("a") as stream:
            stream.write(json.dumps({**line, **asdict(subject.told)}) + "\n")
        subject.told = Told()
        if title == "train" and "error" in line:
            return


def _done(work: Callable[[Any], list[Deviation]], subject: object) -> dict[str, object]:
    """Deviations of a work, or how it failed."""
    try:
        return {"deviations": [asdict(one) for one in work(subject)]}
    except Exception as error:
        words = (str(error).strip().splitlines() or [""])[0]
        return {"error": f"{type(error).__name__}: {words}", "traceback": traceback.format_exc()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("name", "device", "precision"):
        parser.add_argument(name)
    for name in ("data", "folder", "lines"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2) if given.name == STEP else 1)
    torch.use_deterministic_algorithms(True, warn_only=True)  # as the trainer does
    run_cell(given.name, given.device, given.precision, given.data, given.folder, given.lines)


if __name__ == "__main__":
    main()
