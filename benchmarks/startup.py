"""How long it takes until something answers: --help, the import of the package, a checkpoint."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

from benchmarks.digits import write_digits
from benchmarks.timing import Settings, interleave, run_command, settings, show
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.explanations.explainer import Explainer

HELP_TARGET = 1.0
COMMANDS = {
    "python alone": ("-c", "pass"),
    "import protoexplain": ("-c", "import protoexplain"),
    "protoexplain --help": ("-m", "protoexplain", "--help"),
    "protoexplain train --help": ("-m", "protoexplain", "train", "--help"),
    "protoexplain train --dry-run": ("-m", "protoexplain", "train", "--dry-run"),
}
UNTRAINED = (
    "schedule.warm_epochs=0", "schedule.projections=[]", "model.backbone.weights=none", "data.image_size=64",
)  # fmt: skip


def time_commands(options: Settings) -> None:
    """Each command in processes of its own; the first, which may compile bytecode, does not count."""
    rows = []
    for name, words in COMMANDS.items():
        run_command(*words)
        runs = [run_command(*words) for _ in range(options.repeats)]
        wall, cpu = [run.wall for run in runs], [run.cpu for run in runs]
        rows.append((name, median(wall), min(wall), median(cpu), min(cpu)))
    show("new processes", ("", "wall s", "wall s min", "CPU s", "CPU s min"), rows)
    answer = next(row[1] for row in rows if row[0] == "protoexplain --help")
    options.verdict("--help, wall s", answer, HELP_TARGET)


def time_checkpoint(options: Settings, folder: Path) -> None:
    """A checkpoint of EfficientNet-Lite0 with 100 prototypes and their pictures; libraries are imported already."""
    images, run = folder / "images", folder / "run"
    write_digits(images, 64, train=10, test=2)
    overrides = [word for setting in UNTRAINED for word in ("--set", setting)]
    run_command("-m", "protoexplain", "train", "--data", str(images), "--out", str(run), *overrides)
    path = run / "best"
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6
    results = interleave(
        {
            "small files, all checksums": lambda: Checkpoint.load(path),
            "small files, sizes only": lambda: Checkpoint.load(path, verify=False),
            "ready to explain": lambda: Explainer(path),
        },
        options.repeats,
    )
    rows = [(name, median(times.wall), median(times.cpu)) for name, times in results.items()]
    show(f"loading a checkpoint of {size:.1f} MB", ("", "wall s", "CPU s"), rows)


def main() -> None:
    options = settings(__doc__, repeats=5)
    time_commands(options)
    with tempfile.TemporaryDirectory() as folder:
        time_checkpoint(options, Path(folder))


if __name__ == "__main__":
    main()
