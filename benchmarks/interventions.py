"""Interventional scores of checkpoints on one data set, as tables in Markdown; those of docs/interventions.md.

    python -m benchmarks.interventions CHECKPOINT... --data DIR --scratch DIR --images 2 --attacked 1

The first table holds every model with every way to explain it: its prototypes by their maps and by their boxes, and
attribution methods.  The second attacks what lies outside boxes, for several rules that draw them.  The third has the
other scores that need no part to be taken away, the last what one core does in an hour.  Give the models of before and
after a change together, and they stand in one table.  Results are kept in the scratch folder, so that the same command
goes on where it was stopped; checkpoints are only read.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from protoexplain.allocator import reuse_freed_memory
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.cli.output import watching
from protoexplain.data.interventions import Removal
from protoexplain.data.loading import batches
from protoexplain.io.atomic import write_file
from protoexplain.metrics.base import MetricResult, Score
from protoexplain.metrics.cached_results import distinct_names
from protoexplain.metrics.observe.attack import Misaligned
from protoexplain.metrics.observe.images import read_foreign_images, read_test_images
from protoexplain.metrics.observe.needs import missing_needs
from protoexplain.metrics.observe.observer import Networks
from protoexplain.metrics.observe.passes import Chunk
from protoexplain.metrics.registry import get_metric
from protoexplain.metrics.runner import measure
from protoexplain.metrics.settings import AttackSettings, MeasureSettings
from protoexplain.metrics.stats.misalignment_scores import UNIFORM
from protoexplain.metrics.stats.part_scores import EXPLANATIONS
from protoexplain.metrics.tables import as_markdown, shown_number

RULES = "maps,boxes,input-x-gradient,integrated-gradients,grad-cam"
BOX_RULES = "cell,peak,share:0.3"
CHECKS = ("controlled_check", "preservation_check", "deletion_check", "distractibility")
PROTOCOL = ("completeness", *CHECKS, "correctness", "contrastivity", "overall")
ATTACK = tuple(f"misalignment_{name}" for name in ("pac", "plc", "prc", "ac"))
OTHERS = (
    *(f"quanproto_{name}" for name in ("vlc", "vac", "plc", "psc", "prc", "palc", "pac")),
    *("consistency", "stability", "conditioned_consistency", "conditioned_stability"),
    *("prototype_sparsity", "prototype_score", "part_distinctiveness", "part_comprehensiveness"),
    *("energy_relevance", "mask_relevance", "swapped_prototypes", "foreign_auroc", "foreign_accepted"),
)
TIMED = 8
"""Images that the attack is timed on."""


@dataclass(frozen=True)
class Bench:
    """What is measured, and where results are kept."""

    data: Path
    foreign: Path | None
    scratch: Path

    def measured(
        self, path: Path, what: str, names: Sequence[str], settings: Mapping[str, object]
    ) -> dict[str, MetricResult]:
        """Those of the metrics that the data allow, measured or read from an earlier run.

        Args:
            path: Of the checkpoint.
            what: Names the file of the results.
            names: Of the metrics.
            settings: Of the measurement.
        """
        checkpoint = Checkpoint.load(path)
        images = read_test_images(checkpoint, self.data, 1)
        foreign = read_foreign_images(checkpoint, self.foreign) if self.foreign else None
        missing = missing_needs(checkpoint, images, foreign)
        possible = [name for name in names if not get_metric(name).needs & missing.keys()]
        key = f"{checkpoint.weights_sha256[:12]}-{self.data.name}-{what}".replace(":", "-")
        kept = self.scratch / f"{key}.json"
        cached = {
            name: MetricResult.from_dict(name, content)
            for name, content in (json.loads(kept.read_text()) if kept.is_file() else {}).items()
        }
        with watching() as watcher:
            watcher.line(f"{path}: {what}")
            results = measure(
                checkpoint,
                self.data,
                possible,
                settings,
                watcher,
                foreign=self.foreign,
                cached=cached,
                work=self.scratch / f".{key}",
            )
        write_file(kept, json.dumps({name: result.to_dict() for name, result in results.items()}))
        return results


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns after the second hold numbers."""
    lines = [columns, ["---", "---", *["---:"] * (len(columns) - 2)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def explanation_rows(model: str, results: Mapping[str, MetricResult]) -> list[list[str]]:
    """A row for each rule, then for each baseline: the checks, and the overall score with its interval."""
    scores = [results[f"funnybirds_{name}"].score for name in PROTOCOL]
    accuracy = float(scores[-1].details["accuracy"])
    independence = results["funnybirds_background_independence"].score.value
    answers = [shown_number(accuracy), shown_number(independence)]
    rows = []
    for rule, overall in scores[-1].details[EXPLANATIONS].items():
        numbers = [shown_number(score.details[EXPLANATIONS][rule]["value"]) for score in scores]
        if overall["low"] is not None:
            numbers[-1] += f" \\[{shown_number(overall['low'])}, {shown_number(overall['high'])}\\]"
        rows.append([model, rule, *answers, *numbers])
    for baseline in scores[-1].baselines:
        rows.append(
            [model, f"*{baseline}*", *answers, *(shown_number(score.baselines.get(baseline)) for score in scores)]
        )
    return rows


def attack_row(model: str, rule: str, results: Mapping[str, MetricResult]) -> list[str]:
    """The share of the picture that was attacked, then each score and that of uniform noise of the same size."""

    def shown(score: Score) -> str:
        return f"{shown_number(score.value, '%')} ({shown_number(score.baselines[UNIFORM], '%')})"

    scores = [results[name].score for name in ATTACK]
    share = float(scores[0].details["share_of_the_picture_attacked"])
    return [model, rule, shown_number(100 * share, "%"), *map(shown, scores)]


def first_chunk(path: Path, data: Path, count: int) -> Chunk:
    """The first test images, one of each class."""
    checkpoint = Checkpoint.load(path)
    images = read_test_images(checkpoint, data, 1)
    rows = range(min(count, len(images.records)))
    pictures = next(iter(batches(images.dataset(), list(rows), len(rows)))).images[:, 0]
    networks = Networks.of(checkpoint, set(), MeasureSettings(), torch.device("cpu"))
    count = len(rows)
    records, geometries = images.records[:count], images.geometries[:count]
    return networks.chunk(pictures, images.labels[:count], records, geometries, images.interventions)


def an_hour(work: Callable[[], int]) -> str:
    """How often an hour of CPU time holds what the work did, which it counts."""
    start = time.process_time()
    count = work()
    return f"{3600 * count / (time.process_time() - start):,.0f}"


@torch.no_grad()
def cost_row(model: str, path: Path, data: Path) -> list[str]:
    """Pictures without parts, drawn or opened, and classified; then attacked images, in a batch and one at a time."""

    def interventions() -> int:
        chunk = first_chunk(path, data, 2)
        sets = 1 << len(chunk.changed.source.class_parts.names)
        wanted = [(row, Removal(parts)) for row in range(2) for parts in range(1, min(sets, 48))]
        return sum(scores is not None for scores in chunk.changed.scores(wanted))

    def attack(batch: int, count: int) -> int:
        one = Misaligned(AttackSettings(), "peak", 0)
        whole = first_chunk(path, data, count)
        for start in range(0, count, batch):
            part = slice(start, start + batch)
            one(
                Chunk(
                    whole.model,
                    whole.description,
                    whole.images[part],
                    whole.labels[part],
                    whole.records[part],
                    whole.geometries[part],
                )
            )
        return count

    return [model, an_hour(interventions), an_hour(lambda: attack(TIMED, TIMED)), an_hour(lambda: attack(1, 2))]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="planted birds, or FunnyBirds with test_interventions")
    parser.add_argument("--foreign", type=Path, help="images of other things")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for results")
    parser.add_argument("--images", type=int, default=0, help="test images of each class; 0 takes all")
    parser.add_argument("--attacked", type=int, default=1, help="those of each class that are attacked")
    parser.add_argument("--rules", default=RULES, help=f"how explanations name parts (default {RULES})")
    parser.add_argument("--boxes", default=BOX_RULES, help=f"rules for boxes that are attacked (default {BOX_RULES})")
    options = parser.parse_args()
    torch.set_num_threads(1)
    reuse_freed_memory()
    options.scratch.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.data, options.foreign, options.scratch)
    named = dict(zip(distinct_names(options.checkpoints), options.checkpoints, strict=True))
    explained: list[list[str]] = []
    attacked: list[list[str]] = []
    others: dict[str, dict[str, MetricResult]] = {}
    for name, path in named.items():
        settings = {"images_per_class": options.images, "part_rules": options.rules.split(",")}
        protocol = [f"funnybirds_{score}" for score in (*PROTOCOL, "background_independence")]
        explained += explanation_rows(name, bench.measured(path, "explanations", protocol, settings))
        for rule in options.boxes.split(","):
            settings = {"images_per_class": options.attacked, "box_rule": rule}
            if found := bench.measured(path, f"attack-{rule}", ATTACK, settings):
                attacked.append(attack_row(name, rule, found))
        others[name] = bench.measured(path, "others", OTHERS, {"images_per_class": options.images})
    columns = ["model", "explanation", "accuracy", "background independence", *PROTOCOL]
    print(markdown([column.replace("_", " ") for column in columns], explained))
    print(markdown(["model", "boxes", "attacked %", "PAC %", "PLC %", "PRC", "AC %"], attacked))
    print(as_markdown(others))
    costs = [cost_row(name, path, options.data) for name, path in named.items()]
    print(markdown(["model", "interventions an hour", "images attacked an hour, in a batch", "one at a time"], costs))


if __name__ == "__main__":
    main()
