"""The same small work as another maintained tool was measured on, beside its recorded figures.

ProtoPNet with 100 prototypes of 64 channels on the digits of scikit-learn: ResNet-18 with random weights, Adam at
1e-3, no augmentation, one thread, all layers trained from the start, three epochs and a projection.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import mean, median

from benchmarks.digits import write_digits
from benchmarks.timing import Settings, Times, run_command, settings, show, timed
from protoexplain.config import resolve
from protoexplain.data.dataset_view import DatasetView, view_of_run
from protoexplain.data.geometry import Box
from protoexplain.data.loading import batches
from protoexplain.explanations.explainer import Explainer
from protoexplain.explanations.overlays import draw_box, match_heat
from protoexplain.training import projection
from protoexplain.training.provenance import provenance
from protoexplain.training.run import train

HEAT_MAPS = 10


@dataclass(frozen=True)
class Work:
    """One data set, its checksum, and the peer's CPU seconds.

    The peer is CaBRNet 1.2 with torch 2.14.1, run through its Python API on two shared AMD EPYC cores, one
    thread, on 23 November 2026; a heat map is its cubic upsampling with box, without the projection's pictures,
    which it draws one by one (0.0139 s each at 64 px, 0.0867 s at 224 px).
    """

    name: str
    size: int
    train: int
    test: int
    checksum: str
    peer_epoch: float
    peer_projection: float
    peer_picture: float
    peer_heat_map: float
    peer_folder: float | None


WORKS = (
    Work(
        "digits64", 64, 60, 20, "e7f588f41cd85ed6f7485f833123b4bb9cf6fe7c0e812207dfe8a245e05d9b8f",
        peer_epoch=9.45, peer_projection=3.12, peer_picture=0.0139, peer_heat_map=0.0115, peer_folder=82.0,
    ),
    Work(
        "digits224", 224, 12, 4, "ff965c1c04b606e89304982f044977f0d4b51c71288d7a319a86983a7936208e",
        peer_epoch=25.73, peer_projection=7.21, peer_picture=0.0867, peer_heat_map=0.0800, peer_folder=None,
    ),
)  # fmt: skip
PEER_TO_PICTURE = 90.0
"""Wall seconds of its three commands from data to the first explanation of digits64, when nothing goes wrong."""


@dataclass
class EpochClock:
    """Watches a run; CPU seconds of its epochs from the second on (there are no held-out images to evaluate)."""

    ends: list[float] = field(default_factory=list)

    def progress(self, what: str, done: int, total: int) -> None:
        """The steps do not matter."""

    def line(self, text: str) -> None:
        if text.startswith("joint "):
            self.ends.append(time.process_time())

    @property
    def epochs(self) -> list[float]:
        return [end - start for start, end in pairwise(self.ends)]


def project(explainer: Explainer, data: DatasetView, pictures: bool) -> None:
    """Search and writing, as the peer's projection; with boxes, hashes and pictures if wanted."""
    model, config = explainer.model, explainer.checkpoint.config
    dataset = data.dataset(data.train, config.data)
    found = projection.search(
        model,
        (
            (batch.images[:, 0], batch.labels, batch.indices)
            for batch in batches(dataset, range(len(dataset)), config.training.batch_size)
        ),
    )
    projection.replace_prototypes(model, found)
    if pictures:
        provenance(model, found, data.train, data.crop, config.data.image_size, projected=True)


def ten_heat_maps(explainer: Explainer, image: Path) -> None:
    """From an image file to ten pictures with heat map and box."""
    result = explainer.explain(image, top_classes=1, rows=HEAT_MAPS)
    for match in result.explanation.classes[0].found:
        draw_box(match_heat(result.explanation, match, result.rgb), Box(*match.box))


def repeated(work: Callable[[], object], repeats: int) -> float:
    """Median CPU seconds, after one time that does not count."""
    work()
    times = Times()
    for _ in range(repeats):
        timed(work, times)
    return median(times.cpu)


def measure(work: Work, folder: Path, options: Settings) -> None:
    """Do all of the work and print the figures side by side."""
    images = folder / "images"
    checksum = write_digits(images, work.size, *((5, 2) if options.quick else (work.train, work.test)))
    if not options.quick and checksum != work.checksum:
        raise SystemExit(f"{work.name}: other pixels than the peer was measured on")
    settings_file = Path(__file__).with_name(f"{work.name}.yaml")
    config = resolve(settings_file)
    clock = EpochClock()
    run = folder / "run"
    result = train(config, run, data_path=images, watcher=clock)
    size = sum(file.stat().st_size for file in run.rglob("*") if file.is_file()) / 1e6
    explainer, data = Explainer(result.checkpoint), view_of_run(config.data, images)
    image = next(record.path for record in data.test)
    searching = repeated(lambda: project(explainer, data, pictures=False), options.repeats)
    cutting = repeated(lambda: project(explainer, data, pictures=True), options.repeats)
    maps = repeated(lambda: ten_heat_maps(explainer, image), options.repeats)
    prototypes = explainer.model.num_prototypes
    rows = [
        ("epoch, CPU s", mean(clock.epochs), work.peer_epoch, "no slower"),
        ("projection, CPU s", searching, work.peer_projection, "faster"),
        ("the same with all pictures", cutting, work.peer_projection + prototypes * work.peer_picture, "faster"),
        (f"{HEAT_MAPS} heat maps of an image, CPU s", maps, HEAT_MAPS * work.peer_heat_map, "faster"),
        ("run folder after 3 epochs, MB", size, work.peer_folder or "-", "<= 35" if work.peer_folder else "-"),
    ]
    smoke = " (a smoke run: smaller work than the peer's)" if options.quick else ""
    show(
        f"{work.name}: {len(data.train)} images, {prototypes} prototypes, test accuracy"
        f" {result.metrics['test_accuracy']:.3f}{smoke}",
        ("", "ours", "CaBRNet 1.2", "target"),
        rows,
    )
    if work.name == "digits64":
        from_data_to_picture(settings_file, images, image, folder)


def from_data_to_picture(config: Path, images: Path, image: Path, folder: Path) -> None:
    """The two commands that a newcomer types."""
    run = folder / "commands"
    train_words = ("train", "--config", str(config), "--data", str(images), "--out", str(run))
    explain_words = ("explain", str(run / "best"), str(image), "--out", str(folder / "explained"))
    parts = [run_command("-m", "protoexplain", *words) for words in (train_words, explain_words)]
    rows = [(name, part.wall, part.cpu) for name, part in zip(("train", "explain"), parts, strict=True)]
    total = ("together", sum(part.wall for part in parts), sum(part.cpu for part in parts))
    show("commands from data to the first picture", ("", "wall s", "CPU s"), [*rows, total])
    print(f"CaBRNet 1.2: {PEER_TO_PICTURE:.0f} s wall; target: under 60 s")


def main() -> None:
    options = settings(__doc__, repeats=5)
    with tempfile.TemporaryDirectory() as folder:
        for work in WORKS[:1] if options.quick else WORKS:
            measure(work, Path(folder) / work.name, options)


if __name__ == "__main__":
    main()
