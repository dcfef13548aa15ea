"""What came out of a device check: tables to read, all numbers as JSON, and the tracebacks."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.device_compare import ALLOWED, FABRIC

STEP_COLUMNS = ("images/s", "peak MiB")


@dataclass(frozen=True)
class Cell:
    """A family, or the step of the preset, in a precision.

    Args:
        name: Of the family or the step.
        precision: Its name.
        lines: What was done, as `device_cell` writes it.
        ended: Why not all was done; empty where it was.
        log: What the process said.
    """

    name: str
    precision: str
    lines: tuple[dict[str, Any], ...]
    ended: str = ""
    log: str = ""

    @property
    def failures(self) -> list[str]:
        """What went wrong, a sentence each."""
        found = []
        for line in self.lines:
            if "error" in line:
                found.append(f"{line['work']}: {line['error']}")
            found += [
                f"{line['work']}: {one['what']} deviates by {one['largest']:.1e}, allowed {one['allowed']:g}"
                for one in line.get("deviations", ())
                if not one["largest"] <= one["allowed"]
            ]
        return found + ([self.ended] if self.ended and not self.left_out else [])

    @property
    def left_out(self) -> bool:
        return self.ended.startswith("not run")

    @property
    def text(self) -> str:
        """Of the cell in the table."""
        if self.left_out:
            return self.ended
        if self.failures:
            return f"**FAIL** {len(self.failures)}: {self.failures[0]}"
        largest, what = largest_of(self.lines)
        return f"pass, {largest:.1e} ({what})"


def largest_of(lines: Iterable[dict[str, Any]]) -> tuple[float, str]:
    """The largest deviation where any is allowed, and of what."""
    pairs = [
        (one["largest"], f"{line['work']}: {one['what']}")
        for line in lines
        for one in line.get("deviations", ())
        if one["allowed"]
    ]
    return max(pairs, default=(0.0, "nothing compared"))


def read_lines(path: Path) -> tuple[dict[str, Any], ...]:
    """What a process wrote before it ended; a last line that is cut off is left out."""
    whole = path.read_text().split("\n")[:-1] if path.exists() else []
    return tuple(json.loads(line) for line in whole)


def write_tables(cells: Sequence[Cell], device: str, out: Path) -> int:
    """Print the tables and write them with all numbers (.json) and tracebacks (.log) beside.

    Returns:
        1 where anything failed, 0 else.
    """
    content = "\n".join([*_head(device), *_families(cells), *_works(cells), *_step(cells), *_failures(cells), ""])
    print(content)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".md").write_text(content)
    out.with_suffix(".json").write_text(json.dumps([asdict(cell) for cell in cells], indent=1))
    tracebacks = [
        f"==== {cell.name} {cell.precision} {line['work']}\n{line['traceback']}"
        for cell in cells
        for line in cell.lines
        if "traceback" in line
    ]
    said = [
        f"==== {cell.name} {cell.precision}, the end of what its process said\n{cell.log}" for cell in cells if cell.log
    ]
    out.with_suffix(".log").write_text("\n".join([*tracebacks, *said]))
    return int(any(cell.failures for cell in cells))


def _head(device: str) -> list[str]:
    if device == "cpu":
        where = (
            f"**On a CPU ({platform.machine()}), not on an accelerator:** the same code, a smaller step, in float32."
        )
    else:
        where = f"On one {torch.cuda.get_device_name(0) if device.startswith('cuda') else device}, beside the CPU."
    allowed = ", ".join(f"{name} {value:g}" for name, value in ALLOWED.items())
    return [
        "# Device check",
        "",
        f"{where}  torch {torch.__version__}.",
        "",
        f"Allowed relative deviation of a forward pass: {allowed}.",
        "Outside of training mixed precision is not used, and float32's holds; ten times as much after a refit.",
        "",
    ]


def _families(cells: Sequence[Cell]) -> list[str]:
    names = dict.fromkeys(cell.name for cell in cells if cell.name != "step")
    found = {(cell.name, cell.precision): cell.text for cell in cells}
    rows = [[name, *(found[name, precision] for precision in FABRIC)] for name in names]
    return ["## Families: pass or fail, largest relative deviation", "", *_table(["family", *FABRIC], rows)]


def _works(cells: Sequence[Cell]) -> list[str]:
    """Largest deviations by what is done."""
    lines = {p: [line for cell in cells if cell.precision == p for line in cell.lines] for p in FABRIC}
    works = dict.fromkeys(line["work"] for of_precision in lines.values() for line in of_precision)
    rows = []
    for work in works:
        own = {p: [line for line in of_precision if line["work"] == work] for p, of_precision in lines.items()}
        rows.append([work, *(f"{largest_of(some)[0]:.1e}" if some else "-" for some in own.values())])
    return ["## Largest deviation by work", "", *_table(["work", *FABRIC], rows)]


def _step(cells: Sequence[Cell]) -> list[str]:
    steps = [cell for cell in cells if cell.name == "step"]
    rows = []
    for cell in steps:
        figures = {name: value for line in cell.lines for name, value in line["figures"].items()}
        numbers = [figures.get(f"{arm}: {column}") for column in STEP_COLUMNS for arm in ("preset", "bare")]
        shown = ["-" if value is None else f"{value:.0f}" for value in numbers]
        ratio = figures.get("preset / bare")
        rows.append([cell.precision, cell.text, *shown, "-" if ratio is None else f"{ratio:.2f}"])
    notes = next((line["notes"] for cell in steps for line in cell.lines if line["notes"]), [""])
    heads = [f"{arm}, {column}" for column in STEP_COLUMNS for arm in ("preset", "bare backbone")]
    return [
        f"## One step of cub-protopnet-resnet34, random weights and images: {notes[0]}",
        "",
        *_table(["precision", "compared with the CPU", *heads, "seconds, preset / bare"], rows),
    ]


def _failures(cells: Sequence[Cell]) -> list[str]:
    found = [f"- {cell.name}, {cell.precision}: {text}" for cell in cells for text in cell.failures]
    notes = [
        f"- {cell.name}, {cell.precision}, {line['work']}: {note}"
        for cell in cells
        for line in cell.lines
        for note in line["notes"]
        if cell.failures
    ]
    return ["## Failures", "", *(found or ["None."]), *(["", "Notes on these:", "", *notes] if notes else [])]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [*("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines), ""]
