"""How long it takes until something answers: commands, an explanation beside bare imports, a checkpoint."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

from benchmarks.digits import write_digits
from benchmarks.timing import Settings, Times, interleave, run_command, settings, show
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.file_names import THUMBS
from protoexplain.checkpoint.folders import shipped_checkpoints
from protoexplain.explanations.explainer import Explainer

COMMAND_TARGET, EXPLAIN_TARGET = 1.0, 1.1
"""CPU seconds of a command without tensors; CPU time to explain an image, of the imports that it cannot do without."""
MISTAKE = 2
"""Exit code."""
CHECKPOINT = shipped_checkpoints() / "planted-protopnet"
PICTURE = sorted((CHECKPOINT / THUMBS).glob("image-*.jpg"))[0]
COMMANDS = {
    "python alone": ("-c", "pass"),
    "import protoexplain": ("-c", "import protoexplain"),
    "protoexplain --help": ("-m", "protoexplain", "--help"),
    "protoexplain train --help": ("-m", "protoexplain", "train", "--help"),
    "protoexplain --version": ("-m", "protoexplain", "--version"),
    "protoexplain info": ("-m", "protoexplain", "info"),
    "protoexplain info CHECKPOINT": ("-m", "protoexplain", "info", str(CHECKPOINT)),
    "protoexplain train --dry-run": ("-m", "protoexplain", "train", "--dry-run"),
    "a mistake": ("-m", "protoexplain", "explain", str(CHECKPOINT), "nowhere.jpg"),
}
EXPLAIN = f"""
import protoexplain
model = protoexplain.load({str(CHECKPOINT)!r}, device="cpu")
model.explain({str(PICTURE)!r})
"""
UNTRAINED = (
    "schedule.warm_epochs=0", "schedule.projections=[]", "model.backbone.weights=none", "data.image_size=64",
)  # fmt: skip


def time_commands(options: Settings) -> None:
    """Each command in processes of its own; the first, which may compile bytecode, does not count."""
    rows = []
    for name, words in COMMANDS.items():
        expected = MISTAKE if "nowhere.jpg" in words else 0
        run_command(*words, expected=expected)
        runs = [run_command(*words, expected=expected) for _ in range(options.repeats)]
        wall, cpu = [run.wall for run in runs], [run.cpu for run in runs]
        rows.append((name, median(wall), min(wall), median(cpu), min(cpu)))
    show("new processes", ("", "wall s", "wall s min", "CPU s", "CPU s min"), rows)
    options.verdict("slowest command, CPU s", max(row[3] for row in rows), COMMAND_TARGET)


def time_explanation(options: Settings) -> None:
    """An image explained in a new process, beside one that imports torch, torchvision and timm."""
    bare, explained = Times(), Times()
    for _ in range(options.repeats):
        for times, script in ((bare, "import torch, torchvision, timm"), (explained, EXPLAIN)):
            run = run_command("-c", script)
            times.cpu.append(run.cpu)
            times.wall.append(run.wall)
    arms = {"import torch, torchvision, timm": bare, "load a checkpoint, explain an image": explained}
    rows = [(name, median(times.wall), median(times.cpu), min(times.cpu)) for name, times in arms.items()]
    show("new processes", ("", "wall s", "CPU s", "CPU s min"), rows)
    options.verdict("ratio of CPU time, median over rounds", explained.ratio(bare), EXPLAIN_TARGET)
    options.verdict("ratio of least CPU times", explained.least_ratio(bare), EXPLAIN_TARGET)


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
    time_explanation(options)
    with tempfile.TemporaryDirectory() as folder:
        time_checkpoint(options, Path(folder))


if __name__ == "__main__":
    main()
