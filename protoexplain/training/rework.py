"""Work on a finished checkpoint: project again, prune, refit the last layer.  The result is a new checkpoint."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning_fabric import seed_everything

from protoexplain.config import RunConfig
from protoexplain.errors import UserError
from protoexplain.io.checkpoint import Checkpoint
from protoexplain.io.prototypes import select
from protoexplain.io.scratch import remove_scratch
from protoexplain.memory import keep_freed_memory
from protoexplain.models.registry import get_family
from protoexplain.models.stage import Stage
from protoexplain.training import projection
from protoexplain.training.diagnose import Finding
from protoexplain.training.journal import Watcher
from protoexplain.training.keep import keep, origin_of
from protoexplain.training.provenance import Provenance
from protoexplain.training.prune import nearest_labels, unfaithful
from protoexplain.training.prune import prune as remove
from protoexplain.training.run import RunResult, make_fabric
from protoexplain.training.splits import read_data_of
from protoexplain.training.stages import Run, clean_batches, find_patches, run_stage
from protoexplain.training.state import RunState


def reproject(path: Path, data: Path, out: Path, watcher: Watcher, command: str, epochs: int = 0) -> RunResult:
    """Write the nearest patches of a data set into the prototypes, refit the last layer, save a new checkpoint.

    Raises:
        UserError: The family writes no patches, other classes, or `out` exists.
    """
    run, checkpoint = _open(path, data, out, watcher)
    if not run.model.writes_prototypes:
        raise UserError(
            f"{checkpoint.config.family} does not write patches into prototypes", str(path), "nothing needs to be done"
        )
    before = run.evaluate(run.data.test)
    proof = {name: branch.prototypes.detach().clone() for name, branch in run.model.named_branches()}
    patches = find_patches(run)
    projection.write(run.model, patches)
    after = run.evaluate(run.data.test)
    _refit(run, epochs)
    origin = origin_of(run, patches, projected=True)
    records = tuple(
        replace(record, original_index=old.original_index)
        for record, old in zip(origin.records, checkpoint.prototypes, strict=True)
    )
    metrics = {"test_accuracy_before": before, "test_accuracy_projected": after}
    metrics |= {"test_accuracy": run.evaluate(run.data.test)}
    return _result(keep(run, out, Provenance(records, origin.pictures), proof, metrics, command), metrics)


def prune(
    path: Path,
    data: Path,
    out: Path,
    watcher: Watcher,
    command: str,
    k: int = 6,
    threshold: int = 3,
    epochs: int = 100,
) -> RunResult:
    """Remove prototypes whose k nearest training images hold fewer than `threshold` of their class, refit, save.

    Raises:
        UserError: Nothing can be pruned, all would be, other classes, or `out` exists.
    """
    run, checkpoint = _open(path, data, out, watcher)
    if bool((run.model.prototype_class < 0).all()):
        raise UserError("all classes share these prototypes; none is of the wrong class", str(path), "nothing to prune")
    before = run.evaluate(run.data.test)
    run.model.eval()
    nearest = nearest_labels(run.model, clean_batches(run, list(range(len(run.data.train))), "nearest images"), k)
    doomed = unfaithful(nearest, run.model.prototype_class, threshold)
    kept = (~doomed).nonzero()[:, 0].tolist()
    if not kept:
        raise UserError("every prototype would be pruned", str(path), "lower --threshold")
    emptied = set(range(run.model.classes)) - set(run.model.prototype_class[~doomed].tolist())
    before_projection = checkpoint.proof()
    proof = {
        name: before_projection[name][~part]
        for part, (name, _) in zip(doomed.split(run.model.branch_sizes()), run.model.named_branches(), strict=True)
        if name in before_projection
    }
    remove(run.model, doomed)
    _refit(run, epochs)
    origin = Provenance(select(checkpoint.prototypes, kept), pictures_of(checkpoint, kept))
    metrics = {
        "prototypes_removed": int(doomed.sum()),
        "classes_without_prototypes": len(emptied),
        "test_accuracy_before": before,
        "test_accuracy": run.evaluate(run.data.test),
    }
    return _result(keep(run, out, origin, proof, metrics, command), metrics)


def _open(path: Path, data: Path, out: Path, watcher: Watcher) -> tuple[Run, Checkpoint]:
    """A run without schedule around the model of a checkpoint."""
    if out.exists():
        raise UserError("the folder exists", str(out), "choose a new --out; nothing is overwritten")
    keep_freed_memory()
    checkpoint = Checkpoint.load(path)
    config = checkpoint.config
    seed_everything(config.training.seed, verbose=False)
    run_data = read_data_of(checkpoint, data)
    fabric = make_fabric(config.training.model_copy(update={"devices": 1}))
    model = checkpoint.model(fabric.device)
    scratch = Path(tempfile.gettempdir())
    run = Run(config, fabric, run_data, model, RunState(), watcher, None, scratch, lambda now: None, lambda: False)
    return run, checkpoint


def _refit(run: Run, epochs: int) -> None:
    """Last-layer epochs as the family's schedule describes them."""
    head = head_stage(run.config)
    if not epochs or not head:
        return
    run.scratch = Path(tempfile.mkdtemp())
    try:
        run_stage(run, 0, head.model_copy(update={"epochs": epochs}))
    finally:
        remove_scratch(run.scratch)
    run.model.eval()


def head_stage(config: RunConfig) -> Stage | None:
    """The stage that trains the head alone, as the family's schedule describes it."""
    stages = get_family(config.family).stages(config.schedule)
    return next((stage for stage in reversed(stages) if set(stage.lr) == {"head"}), None)


def pictures_of(checkpoint: Checkpoint, kept: Sequence[int]) -> dict[str, bytes]:
    """Pictures of some prototypes by file name."""
    pictures: dict[str, bytes] = {}
    for index in kept:
        record = checkpoint.prototypes[index]
        for name, picture in (
            (record.patch, checkpoint.picture(index, "patch")),
            (record.source, checkpoint.picture(index, "source")),
        ):
            if name and picture is not None:
                pictures[name] = picture
    return pictures


def _result(kept: tuple[Checkpoint, tuple[Finding, ...]], metrics: dict[str, Any]) -> RunResult:
    checkpoint, findings = kept
    return RunResult(checkpoint, metrics, findings)
