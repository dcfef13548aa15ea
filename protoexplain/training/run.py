"""A whole run: read data, build the model, go through the stages, keep checkpoints, say what came out.

Folder of a run:
    config.yaml, metrics.jsonl, tensorboard/   what was asked for and what happened
    state.pt                                   while it runs: where to go on
    best/, last/                               checkpoints; `last` only where it differs from `best`
"""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from lightning_fabric import Fabric, seed_everything

from protoexplain.allocator import reuse_freed_memory
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.config import RunConfig, TrainingConfig
from protoexplain.data.dataset_view import view_of_run
from protoexplain.devices import resolve_device
from protoexplain.errors import UserError
from protoexplain.fabric import make_fabric
from protoexplain.io.atomic import recover, require_writable, write_file
from protoexplain.io.scratch import remove_scratch
from protoexplain.models.registry import get_family
from protoexplain.progress import Silent, Watcher
from protoexplain.training.diagnose import Finding
from protoexplain.training.initial import start
from protoexplain.training.model_check import check_model
from protoexplain.training.run_log import RunLog
from protoexplain.training.save import origin_of, save_model
from protoexplain.training.schedule import models_of, stages_of
from protoexplain.training.stages import Run, end_stage, find_patches, run_stage
from protoexplain.training.state import STATE_FILE, RunState, Snapshot, load_state, save_state, weights_of

SAVE_EVERY_SECONDS = 30.0
_CACHE = ".cache-"


@dataclass(frozen=True)
class RunResult:
    """What a run left behind.

    Args:
        checkpoint: The best checkpoint.
        metrics: Accuracies before and after projection, times.
        findings: What is wrong with the prototypes.
    """

    checkpoint: Checkpoint
    metrics: dict[str, Any]
    findings: tuple[Finding, ...]


def train(
    config: RunConfig,
    out: Path,
    *,
    data_path: Path | None = None,
    resume: bool = False,
    watcher: Watcher | None = None,
    interrupted: Callable[[], bool] = lambda: False,
    save_every: float = SAVE_EVERY_SECONDS,
    command: str = "",
) -> RunResult:
    """Train a model as configured.

    Args:
        config: The run.
        out: Its folder; must not hold another run unless resuming.
        data_path: Data set, where it is not the configured one.
        resume: Go on with an interrupted run in `out`.  On a CPU the result is bit for bit that of an uninterrupted run
            with as many threads.  On an accelerator the images and their changes are the same, but sums may be
            rounded otherwise, random numbers of the network itself (dropout) are only kept on cuda, and the scale of
            16-mixed begins anew.
        watcher: Is shown the progress.
        interrupted: Asked after each step; True saves the state and raises `Interrupted`.
        save_every: Seconds between saved states.
        command: How to make this run again, for the model card.

    Raises:
        UserError: No such device, bad data, a backbone that cannot take the pictures, a folder in use, a loss that is
            not finite, a full disk.
        Interrupted: As asked.
    """
    training = config.training
    key = "training.accelerator"
    _check_precision(training, resolve_device(training.accelerator, key))
    reuse_freed_memory()
    fabric = make_fabric(training.accelerator, training.devices, training.precision, key)
    main = fabric.global_rank == 0
    lock = FileLock(out / ".lock")
    if main:
        _lock(lock, out)
    try:
        if main:
            _tidy(out, resume)
        fabric.launch()
        out = fabric.broadcast(out)
        shown = watcher if watcher and main else Silent()
        return _train(config, out, fabric, data_path, resume, shown, interrupted, save_every, command)
    finally:
        lock.release()


def _lock(lock: FileLock, out: Path) -> None:
    """Make the folder this program's own, before it starts further processes."""
    require_writable(out)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            "another process is working in this folder", str(out), "wait for it or choose another --out"
        ) from error


def _tidy(out: Path, resume: bool) -> None:
    """Remove what a killed run left over; refuse a folder that holds a run which would be mixed up with this one."""
    recover(out)
    for cache in out.glob(f"{_CACHE}*"):
        shutil.rmtree(cache, ignore_errors=True)
    interrupted = (out / STATE_FILE).exists()
    if interrupted and not resume:
        raise UserError(
            "the folder holds an interrupted run", str(out), "add --resume to go on, or choose another --out"
        )
    if (out / "best").exists() or ((out / "last").exists() and not interrupted):
        raise UserError("the folder holds a finished run", str(out), "choose another --out")


def _train(
    config: RunConfig,
    out: Path,
    fabric: Fabric,
    data_path: Path | None,
    resume: bool,
    watcher: Watcher,
    interrupted: Callable[[], bool],
    save_every: float,
    command: str,
) -> RunResult:
    if config.training.threads:
        torch.set_num_threads(config.training.threads)
    torch.use_deterministic_algorithms(config.training.deterministic, warn_only=True)
    seed_everything(config.training.seed, workers=True, verbose=False)
    data = view_of_run(config.data, data_path)
    watcher.line(f"training {config.family} on {data.image_set.root}, into {out}")
    for problem in data.problems:
        watcher.line(f"left out: {problem}")
    family = get_family(config.family)
    model = family.build(config.model, len(data.image_set.classes))
    check_model(config, model)
    harmless = config.data.model_copy(update={"workers": 0, "path": ""})
    settings = config.model_copy(update={"data": harmless, "about": ""}).to_yaml()
    run_id = hashlib.sha256(f"{settings}{data.fingerprint}".encode()).hexdigest()
    stages, models = stages_of(config), models_of(config, model)
    state = load_state(out, models, run_id) if resume and (out / STATE_FILE).exists() else RunState()
    fabric.barrier()
    main = fabric.global_rank == 0
    if main:
        write_file(out / "config.yaml", config.to_yaml())
    for each in models:
        each.to(fabric.device)
    started, saved = time.perf_counter() - state.seconds, [time.perf_counter()]

    def checkpoint(now: bool) -> None:
        state.seconds = time.perf_counter() - started
        if main and (now or time.perf_counter() - saved[0] > save_every):
            save_state(out, state, models[state.stage], run_id)
            saved[0] = time.perf_counter()

    log = RunLog(out, state.log_lines) if main else None
    scratch = fabric.broadcast(Path(tempfile.mkdtemp(prefix=_CACHE, dir=out)) if main else Path())
    run = Run(config, fabric, data, model, state, watcher, log, scratch, checkpoint, interrupted)
    try:
        for index in range(state.stage, len(stages)):
            run.model = models[index]
            if not state.started:
                start(run, models[0])
                state.started = True
            run_stage(run, index, stages[index])
            run.model = models[index + 1]
            if run.model is not models[index]:
                start(run, models[0])
            end_stage(run, index)
        run.model = model
        return _finish(run, out, command, time.perf_counter() - started)
    finally:
        run.close()
        if main:
            remove_scratch(scratch)
        if log:
            log.close()


def _finish(run: Run, out: Path, command: str, seconds: float) -> RunResult:
    """Write the checkpoints, then forget the state."""
    state, model = run.state, run.model
    last = Snapshot(weights_of(model), state.patches, state.proof, math.nan, "end of the schedule")
    best = state.best if state.best and run.data.validation else last
    same = all(torch.equal(best.weights[name], last.weights[name]) for name in last.weights)
    metrics: dict[str, Any] = {
        "seconds": round(seconds, 1),
        "projections": state.projections,
        "train_images": len(run.data.train),
        "validation_images": len(run.data.validation),
        "test_images": len(run.data.test),
    }
    if not same and not (out / "last").exists():
        _keep(run, out / "last", last, metrics, command)
    kept = _keep(run, out / "best", best, metrics, command)
    (out / STATE_FILE).unlink(missing_ok=True)
    return kept


def _keep(run: Run, path: Path, snapshot: Snapshot, metrics: dict[str, Any], command: str) -> RunResult:
    run.model.load_state_dict(snapshot.weights)
    run.model.eval()
    patches = snapshot.patches or find_patches(run)
    run.model.finalize(torch.cat([found.similarity for found in patches]))
    accuracy = {
        "test_accuracy": run.evaluate(run.data.test),
        "validation_accuracy": run.evaluate(run.data.validation),
    }
    row = {**metrics, **accuracy, "kept": snapshot.place}
    proof = snapshot.proof if snapshot.patches else {}
    kept: RunResult | None = None
    if run.fabric.global_rank == 0:
        checkpoint, findings = save_model(run, path, origin_of(run, patches, bool(proof)), proof, row, command)
        kept = RunResult(checkpoint, row, findings)
    everywhere = run.fabric.broadcast(kept)
    assert everywhere is not None
    return everywhere


def _check_precision(training: TrainingConfig, device: torch.device) -> None:
    if training.precision == "32-true" or device.type != "cpu":
        return
    fast = training.precision == "bf16-mixed" and torch.cpu._is_avx512_bf16_supported()
    if not fast:
        raise UserError(
            f"{training.precision} is slower than 32-true on this processor, by about ten times",
            "training.precision",
            "use 32-true on a CPU",
        )
