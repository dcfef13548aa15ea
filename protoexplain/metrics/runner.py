"""Measure a checkpoint: find out which passes the wanted metrics need, make each once, then compute all metrics.

Every process looks at its own chunks of images; the first one computes the scores from the chunks of all.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from lightning_fabric import Fabric
from pydantic import BaseModel

from protoexplain.allocator import reuse_freed_memory
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.loading import batches
from protoexplain.errors import UserError
from protoexplain.io.scratch import remove_scratch
from protoexplain.metrics.base import MetricResult, Need
from protoexplain.metrics.observe.images import Images, read_foreign_images, read_test_images, some_training_images
from protoexplain.metrics.observe.measured_model import Subject, subject_of
from protoexplain.metrics.observe.needs import lacking
from protoexplain.metrics.observe.observations import Columns, Observations
from protoexplain.metrics.observe.passes import Chunk, Pass
from protoexplain.metrics.observe.patches import TrainingPatches
from protoexplain.metrics.observe.plan import planned
from protoexplain.metrics.observe.store import ChunkStore, chunked
from protoexplain.metrics.registry import get_metric, metric_names
from protoexplain.metrics.settings import MeasureSettings, parse_settings
from protoexplain.models.backbones import Backbone, before_training
from protoexplain.models.base import FamilyConfig, PrototypeModel
from protoexplain.training.fabric import make_fabric
from protoexplain.training.run_log import Silent, Watcher


def measure(
    checkpoint: Path | Checkpoint,
    data: Path,
    names: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    watcher: Watcher | None = None,
    *,
    foreign: Path | None = None,
    kept: Mapping[str, MetricResult] | None = None,
    work: Path | None = None,
    fabric: Fabric | None = None,
) -> dict[str, MetricResult]:
    """Measure a model on the test images of its data set.

    Args:
        checkpoint: Folder, or loaded.
        data: Data set with the same classes.
        names: Metrics; by default all that the data allow.
        settings: Keys of `MeasureSettings`, and metric name -> table of its own settings.
        watcher: Is shown the progress, and told which metrics were left out.
        foreign: Images of things that the model does not know, for the metric that needs them.
        kept: Earlier results of the same model; those with the same settings on the same images are taken over.
        work: Folder for what was seen so far, in which an interrupted measurement goes on; removed at the end.
        fabric: Devices and processes, launched; by default one process on the best device there is.

    Returns:
        Metric -> result, the same in all processes.

    Raises:
        UserError: Unreadable, other classes than the model's, unknown metric or setting, or annotations that a
            named metric needs are missing.
    """
    reuse_freed_memory()
    loaded = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint.load(checkpoint)
    known = list(names) if names is not None else metric_names()
    shared, own = parse_settings(settings or {}, known)
    images = read_test_images(loaded, data, shared.images_per_class)
    others = read_foreign_images(loaded, foreign) if foreign else None
    fabric = fabric or make_fabric()
    shown = watcher if watcher and fabric.global_rank == 0 else Silent()
    for notice in images.notices:
        shown.line(notice)
    for problem in (*images.problems, *(others.problems if others else ())):
        shown.line(f"left out: {problem}")
    wanted = _possible(known, lacking(loaded, images, others), names is not None, shown)
    recorded = shared.recorded(images.fingerprint, len(images.records), images.size)
    known_results = {
        name: result
        for name, result in (kept or {}).items()
        if name in wanted and {**recorded, **own[name].model_dump(mode="json")}.items() <= result.settings.items()
    }
    todo = [name for name in wanted if name not in known_results]
    if not todo:
        return {name: known_results[name] for name in wanted}
    with _working_folder(work, fabric) as folder:
        seen = _observe(loaded, images, others, todo, shared, folder, fabric, shown)
        results = fabric.broadcast(_computed(todo, own, seen, shown) if seen else {})
    return {name: known_results.get(name) or results[name] for name in wanted}


def _possible(known: Sequence[str], lacks: Mapping[Need, tuple[str, str]], named: bool, shown: Watcher) -> list[str]:
    """The metrics whose needs are met; one that was asked for by name and cannot be measured is an error."""
    wanted = []
    for name in dict.fromkeys(known):
        metric = get_metric(name)
        need = next((need for need in sorted(metric.needs) if need in lacks), None)
        if need is None:
            wanted.append(name)
            continue
        what, fix = lacks[need]
        if named:
            raise UserError(f"{name} needs {what}", "--metrics", fix)
        shown.line(f"left out: {name} needs {what}")
    return wanted


def _observe(
    checkpoint: Checkpoint,
    images: Images,
    others: Images | None,
    names: Sequence[str],
    settings: MeasureSettings,
    folder: Path,
    fabric: Fabric,
    shown: Watcher,
) -> Observations | None:
    """Make the passes; the first process gets what all have seen, the others None."""
    model = checkpoint.model(fabric.device)
    subject = subject_of(model, checkpoint.classes, images.size, settings.shared_per_class)
    kinds, learnt = (
        {kind for name in names for kind in getattr(get_metric(name), which)} for which in ("passes", "training")
    )
    before = _before_projection(checkpoint, model) if "unprojected" in kinds else None
    frozen = _before_training(checkpoint, fabric.device) if "cells" in kinds else None
    looker = _Looker(model, before, frozen, checkpoint, subject, settings, folder, fabric, shown)
    columns = looker.look(images, planned(kinds, settings), "looking at test images")
    foreign = looker.look(others, planned({"scores"}, settings), "looking at foreign images") if others else None
    training = None
    if learnt:
        chosen = some_training_images(images, settings.training_images, settings.seed)
        training = looker.look(chosen, planned(learnt, settings), "looking at training images")
    if columns is None:
        return None
    patches = TrainingPatches(checkpoint.prototypes, images.training, images.crop)
    return Observations(
        subject,
        images.ids,
        images.labels,
        columns,
        settings,
        images.fingerprint,
        images.parts(),
        foreign,
        training,
        patches,
    )


def _before_projection(checkpoint: Checkpoint, model: PrototypeModel) -> PrototypeModel:
    """A copy of the model with its prototypes from before projection."""
    before, proof = copy.deepcopy(model), checkpoint.proof()
    for name, branch in before.named_branches():
        branch.prototypes.data = proof[name].to(branch.prototypes)
    return before


def _before_training(checkpoint: Checkpoint, device: torch.device) -> Backbone | None:
    """The backbone with the weights that the training started from, None where they are not at hand."""
    assert isinstance(checkpoint.config.model, FamilyConfig)
    with torch.random.fork_rng(devices=[]):
        backbone = before_training(checkpoint.config.model.backbone)
    return None if backbone is None else backbone.eval().to(device)


@dataclass(frozen=True)
class _Looker:
    """Makes passes over images."""

    model: PrototypeModel
    before: PrototypeModel | None
    frozen: Backbone | None
    checkpoint: Checkpoint
    subject: Subject
    settings: MeasureSettings
    folder: Path
    fabric: Fabric
    shown: Watcher

    @torch.no_grad()
    def look(self, images: Images, planned: Sequence[Pass], what: str) -> dict[str, Columns] | None:
        """The columns of all passes, in the first process; chunks that were kept before are not made again."""
        size = self.settings.batch_size
        model = f"{self.checkpoint.weights_sha256}|{self.subject.shared_per_class}|{self.frozen is not None}"
        key = f"{model}|{images.inputs_fingerprint}|{size}"
        store, chunks = ChunkStore(self.folder, key), chunked(len(images.records), size)
        own = range(self.fabric.global_rank, len(chunks), self.fabric.world_size)
        todo = [number for number in own if not all(store.has(repr(one), number) for one in planned)]
        cost = sum(one.cost for one in planned)
        total = cost * sum(len(chunks[number]) for number in own)
        done = total - cost * sum(len(chunks[number]) for number in todo)
        order = [index for number in todo for index in chunks[number]]
        workers = self.checkpoint.config.data.workers
        for number, batch in zip(todo, batches(images.dataset(), order, size, 0, workers), strict=True):
            chunk = self._chunk(images, chunks[number], batch.images[:, 0])
            for one in planned:
                if not store.has(repr(one), number):
                    store.write(repr(one), number, one(chunk))
                done += one.cost * len(chunks[number])
                self.shown.progress(what, done, total)
        self.fabric.barrier()
        if self.fabric.global_rank != 0:
            return None
        return {one.name: store.table(repr(one), len(chunks)) for one in planned}

    def _chunk(self, images: Images, indices: Sequence[int], pictures: torch.Tensor) -> Chunk:
        records = [images.records[index] for index in indices]
        geometries = [images.geometries[index] for index in indices]
        labels, inputs = images.labels[indices], pictures.to(self.fabric.device)
        return Chunk(self.model, self.subject, inputs, labels, records, geometries, self.before, self.frozen)


def _computed(
    names: Sequence[str], own: Mapping[str, BaseModel], seen: Observations, shown: Watcher
) -> dict[str, MetricResult]:
    results = {}
    for number, name in enumerate(names, 1):
        results[name] = get_metric(name).measured(name, seen, own[name])
        shown.progress("computing scores", number, len(names))
    return results


@contextmanager
def _working_folder(given: Path | None, fabric: Fabric) -> Iterator[Path]:
    """The folder of all processes: a given one, used by one measurement at a time, or a temporary one."""
    first = fabric.global_rank == 0
    path = fabric.broadcast(given or (Path(tempfile.mkdtemp(prefix="protoexplain-")) if first else Path()))
    lock, taken = FileLock(path / ".lock"), False
    if first:
        path.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            taken = True
    if fabric.broadcast(taken):
        raise UserError("another process is measuring this checkpoint", str(path), "wait for it to end")
    finished = False
    try:
        yield path
        finished = True
    finally:
        lock.release()
        if first and (finished or given is None):
            remove_scratch(path)
