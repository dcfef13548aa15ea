"""The tables of docs/metrics.md: all metrics of copies of checkpoints, side by side, in Markdown.

    python -m benchmarks.metric_tables CHECKPOINT... --data DIR --foreign DIR --scratch DIR --masked 2

Checkpoints of one method trained with several seeds are joined with commas, A,B,C, and get one column: the mean, the
deviation over the trainings, and the mean ends of their intervals, which are about other images.

Deletion and insertion look at a hundred masked pictures of an image, so they get fewer images.  What was measured is
kept in the copies; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

from protoexplain.checkpoint.checkpoint import Checkpoint, add_metrics
from protoexplain.cli.output import watching
from protoexplain.metrics.cached_results import cached_results, distinct_names
from protoexplain.metrics.registry import list_metrics
from protoexplain.metrics.runner import measure
from protoexplain.metrics.stats.seeds import over_seeds
from protoexplain.metrics.tables import as_markdown, as_text

MASKED, FOREIGN = ("deletion", "insertion"), {"foreign_accepted", "foreign_auroc"}


def parts_of_the_work(checkpoint: Checkpoint, masked: int) -> Iterator[tuple[list[str], dict[str, int]]]:
    """Metrics that are measured together, and their settings."""
    left_out = MASKED if checkpoint.before_projection() else (*MASKED, "projection_gap")
    yield [name for name in list_metrics() if name not in left_out], {}
    yield list(MASKED), {"images_per_class": masked}


def measured(path: Path, options: argparse.Namespace) -> Checkpoint:
    """The checkpoint with the results added to it."""
    for names, settings in parts_of_the_work(Checkpoint.load(path), options.masked):
        loaded = Checkpoint.load(path)
        cached, work = cached_results(loaded), path.with_name(f".{path.name}.measuring")
        foreign = options.foreign if FOREIGN & set(names) else None
        with watching() as watcher:
            results = measure(loaded, options.data, names, settings, watcher, foreign=foreign, cached=cached, work=work)
        add_metrics(path, {"interpretability": {name: result.to_dict() for name, result in results.items()}})
    return Checkpoint.load(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoints", nargs="+", help="each with others of the same method joined by commas")
    parser.add_argument("--data", type=Path, required=True, help="data set of all checkpoints")
    parser.add_argument("--foreign", type=Path, required=True, help="images of other things")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the copies")
    parser.add_argument("--masked", type=int, default=2, help="images of each class for deletion and insertion")
    options = parser.parse_args()
    methods = [[Path(path) for path in joined.split(",")] for joined in options.checkpoints]
    paths = [path for method in methods for path in method]
    names, models = dict(zip(paths, distinct_names(paths), strict=True)), {}
    for method in methods:
        trainings = []
        for path in method:
            copied = options.scratch / names[path].replace("/", "-")
            if not copied.exists():
                shutil.copytree(path, copied)
            trainings.append(cached_results(measured(copied, options)))
            print(f"{names[path]}\n\n{as_text(trainings[-1])}\n")
        models[names[method[0]]] = over_seeds(trainings) if len(trainings) > 1 else trainings[0]
    print(as_markdown(models))


if __name__ == "__main__":
    main()
