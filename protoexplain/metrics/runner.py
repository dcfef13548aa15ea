"""Measure a checkpoint: find out which passes the wanted metrics need, make each once, then compute all metrics.

Every process observes its own chunks of images; the first one computes the scores from the chunks of all.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from protoexplain.allocator import memory_advice, reuse_freed_memory
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.errors import UserError
from protoexplain.fabric import make_fabric
from protoexplain.io.lock import FolderLock
from protoexplain.io.scratch import remove_scratch
from protoexplain.metrics.base import MetricResult, Need
from protoexplain.metrics.observe.images import read_foreign_images, read_test_images
from protoexplain.metrics.observe.needs import missing_needs
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.observe.observer import observe
from protoexplain.metrics.parse_settings import parse_settings
from protoexplain.metrics.registry import get_metric, list_metrics
from protoexplain.progress import Silent, Watcher

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def measure(
    checkpoint: Path | Checkpoint,
    data: Path,
    names: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    watcher: Watcher | None = None,
    *,
    foreign: Path | None = None,
    cached: Mapping[str, MetricResult] | None = None,
    work: Path | None = None,
    fabric: Fabric | None = None,
) -> dict[str, MetricResult]:
    """Measure a model on the test images of its data set.

    Args:
        checkpoint: Folder, or loaded.
        data: Data set with the same classes.
        names: Metrics; by default all that the data allow.
        settings: Keys of `MeasureSettings`, and metric name -> table of its own settings.
        watcher: Is shown the progress, and which metrics were left out.
        foreign: Images of things that the model does not know, for the metric that needs them.
        cached: Earlier results of the same model; those with the same settings on the same images are taken over.
        work: Folder of the observations so far, from which an interrupted measurement goes on; removed at the end.
        fabric: Devices and processes, launched; by default one process on the best device there is.

    Returns:
        Metric -> result, the same in all processes.

    Raises:
        UserError: Unreadable, other classes than the model's, unknown metric or setting, or annotations that a
            named metric needs are missing; a pass gave numbers that are not finite; too little memory.
    """
    reuse_freed_memory()
    loaded = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint.load(checkpoint)
    known = list(names) if names is not None else list_metrics()
    shared, own = parse_settings(settings or {}, known)
    images = read_test_images(loaded, data, shared.images_per_class)
    others = read_foreign_images(loaded, foreign) if foreign else None
    fabric = fabric or make_fabric()
    watcher = watcher if watcher and fabric.global_rank == 0 else Silent()
    for notice in images.notices:
        watcher.line(notice)
    for problem in (*images.problems, *(others.problems if others else ())):
        watcher.line(f"left out: {problem}")
    wanted = measurable(known, missing_needs(loaded, images, others), names is not None, watcher)
    recorded = shared.recorded(images.fingerprint, len(images.records), images.size)
    reused = {
        name: result
        for name, result in (cached or {}).items()
        if name in wanted and {**recorded, **own[name].model_dump(mode="json")}.items() <= result.settings.items()
    }
    todo = [name for name in wanted if name not in reused]
    if not todo:
        return {name: reused[name] for name in wanted}
    with _working_folder(work, fabric, watcher) as folder, memory_advice("batch_size", shared.batch_size):
        metrics = [get_metric(name) for name in todo]
        observed = observe(loaded, images, others, metrics, shared, folder, fabric, watcher)
        results = fabric.broadcast(_compute(todo, own, observed, watcher) if observed else {})
    return {name: reused.get(name) or results[name] for name in wanted}


def measurable(
    names: Sequence[str], missing: Mapping[Need, tuple[str, str]], required: bool, watcher: Watcher
) -> list[str]:
    """The metrics whose needs are met.

    Args:
        names: Of metrics.
        missing: Unmet need -> (what is missing, what would provide it).
        required: Whether they were named, so that one that cannot be measured is an error; otherwise the watcher is
            shown its name, and costly ones are left out, too.
        watcher: Is shown which metrics are left out.

    Raises:
        UserError: A required metric cannot be measured.
    """
    wanted: list[str] = []
    costly: list[str] = []
    for name in dict.fromkeys(names):
        metric = get_metric(name)
        need = next((need for need in sorted(metric.needs) if need in missing), None)
        if need is None:
            (costly if metric.costly and not required else wanted).append(name)
            continue
        what, fix = missing[need]
        if required:
            raise UserError(f"{name} needs {what}", "--metrics", fix)
        watcher.line(f"left out: {name} needs {what}")
    if costly:
        watcher.line(f"not measured unless named, since they take dozens of passes an image: {', '.join(costly)}")
    return wanted


def _compute(
    names: Sequence[str], own: Mapping[str, BaseModel], observed: Observations, watcher: Watcher
) -> dict[str, MetricResult]:
    results = {}
    for number, name in enumerate(names, 1):
        results[name] = get_metric(name).measure(name, observed, own[name])
        watcher.progress("computing scores", number, len(names))
    return results


@contextmanager
def _working_folder(given: Path | None, fabric: Fabric, watcher: Watcher) -> Iterator[Path]:
    """The folder of all processes: a given one, used by one measurement at a time, or a temporary one."""
    first = fabric.global_rank == 0
    path = fabric.broadcast(given or (Path(tempfile.mkdtemp(prefix="protoexplain-")) if first else Path()))
    lock = FolderLock(path, "measuring this checkpoint")
    refused: tuple[str, str, str] | None = None
    if first:
        path.mkdir(parents=True, exist_ok=True)
        try:
            if taken_over := lock.acquire():
                watcher.line(taken_over)
        except UserError as error:
            refused = (error.what, error.where, error.fix)
    if refused := fabric.broadcast(refused):
        raise UserError(*refused)
    finished = False
    try:
        yield path
        finished = True
    finally:
        lock.release()
        if first and (finished or given is None):
            remove_scratch(path)
