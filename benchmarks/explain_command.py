"""CPU seconds for each image of `protoexplain explain`, with and without the test of boxes, beside the library call."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.timing import Settings, run_command, settings, show
from protoexplain.checkpoint.folders import shipped_checkpoints
from protoexplain.planted import draw

CHECKPOINT = shipped_checkpoints() / "planted-protopnet"
CLASSES, PER_CLASS = 20, 5
LIBRARY = f"""
import sys
import protoexplain
model = protoexplain.load({str(CHECKPOINT)!r}, device="cpu")
for explanation in protoexplain.explain_many(model, sys.argv[1:]):
    explanation.rows
"""


def time_images(options: Settings, folder: Path) -> None:
    """Of many images and of one, in new processes: the difference is what an image costs."""
    draw(folder / "birds", classes=CLASSES, train_per_class=1, test_per_class=1 if options.quick else PER_CLASS)
    pictures = sorted(map(str, (folder / "birds" / "images").rglob("*.jpg")))[: 3 if options.quick else 100]
    command = ("-m", "protoexplain", "explain", str(CHECKPOINT))
    out = ("--device", "cpu", "--out", str(folder / "explained"))
    arms = {
        "library call, without pictures": lambda some: ("-c", LIBRARY, *some),
        "command, no boxes blanked": lambda some: (*command, *some, *out, "--random-boxes", "0"),
        "command": lambda some: (*command, *some, *out),
        "command, 19 random boxes for each": lambda some: (*command, *some, *out, "--random-boxes", "19"),
    }
    rows = []
    for name, words in arms.items():
        first, every = run_command(*words(pictures[:1])), run_command(*words(pictures))
        rows.append((name, first.cpu, (every.cpu - first.cpu) / (len(pictures) - 1)))
    show(f"{len(pictures)} images", ("", "CPU s, one image", "CPU s, each further image"), rows)


def main() -> None:
    options = settings(__doc__, repeats=1)
    with tempfile.TemporaryDirectory() as folder:
        time_images(options, Path(folder))


if __name__ == "__main__":
    main()
