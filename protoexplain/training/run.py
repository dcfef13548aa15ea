"""A whole run: read data, build the model, go through the stages, keep checkpoints, say what came out.

Folder of a run:
    config.yaml, data.json                     what was asked for and decided, and with which data
    metrics.jsonl, tensorboard/                what happened
    state.pt                                   while it runs: where to go on
    best/, last/                               checkpoints; `last` only where it differs from `best`
"""

from __future__ import annotations

import hashlib
import math
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric, seed_everything

from protoexplain.allocator import memory_advice, reuse_freed_memory
from protoexplain.config import RunConfig, TrainingConfig, as_yaml, with_training
from protoexplain.data.dataset_view import DatasetView, parts_in_words, view_of_run
from protoexplain.devices import resolve_device
from protoexplain.errors import UserError
from protoexplain.fabric import as_launched, make_fabric
from protoexplain.io.atomic import recover, require_writable, write_file
from protoexplain.io.lock import FolderLock
from protoexplain.io.scratch import remove_scratch
from protoexplain.models.base import PrototypeModel
from protoexplain.models.registry import get_family
from protoexplain.progress import Silent, Watcher
from protoexplain.training.callbacks import Callbacks
from protoexplain.training.feature_cache import balanced_share_right, share_right
from protoexplain.training.held_out import calibrate_model, class_scores
from protoexplain.training.initial import start
from protoexplain.training.linear_probe import probe_run
from protoexplain.training.model_check import check_model
from protoexplain.training.pace import set_pace
from protoexplain.training.run_folder import (
    CONFIG,
    DATA,
    as_given,
    described,
    remembered,
    require_same_data,
    settings_to_go_on,
)
from protoexplain.training.run_log import RunLog
from protoexplain.training.save import RunResult
from protoexplain.training.schedule import stages_of
from protoexplain.training.stage_models import models_of
from protoexplain.training.state import STATE_FILE, Snapshot, StateSaver, load_state, weights_of
from protoexplain.training.stopping import next_stage
from protoexplain.training.threads import choose_threads
from protoexplain.training.train_stage import train_stage
from protoexplain.training.trainer import Trainer

SAVE_EVERY_SECONDS = 30.0
_CACHE = ".cache-"


def train(
    config: RunConfig,
    out: Path,
    *,
    data_path: Path | None = None,
    resume: bool = False,
    minutes: float | None = None,
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
        minutes: The run ends near so many minutes: it gets as many epochs as fit by a short test, at least one of each
            stage.  They become `training.epochs` of the run, which a run that goes on keeps.
        watcher: Is shown the progress, and the time left if it is a `TimedWatcher`.
        interrupted: Asked after each step; True saves the state and raises `Interrupted`.
        save_every: Seconds between saved states.
        command: How to make this run again, for the model card.

    Raises:
        UserError: No such device, bad data, too few epochs, a backbone that cannot take the pictures, a folder in use,
            a loss that is not finite, a full disk, too little memory.
        Interrupted: As asked.
    """
    began = time.monotonic()
    processes, nodes = as_launched(config.training.devices, config.training.nodes, "training.devices, training.nodes")
    config = with_training(config, devices=processes, nodes=nodes)
    training = config.training
    if minutes is not None and training.epochs is not None:
        raise UserError("both epochs and minutes are given", "training.epochs, minutes", "give one of them")
    if processes * nodes > training.batch_size:
        what = f"{processes * nodes} processes cannot share batches of {training.batch_size} images"
        raise UserError(what, "training.devices, training.batch_size", "take fewer processes, or larger batches")
    stages_of(config)  # refuses too few epochs before anything is read
    key = "training.accelerator"
    _check_precision(training, resolve_device(training.accelerator, key))
    reuse_freed_memory()
    fabric = make_fabric(training.accelerator, processes, training.precision, key, nodes)
    main = fabric.global_rank == 0
    lock, taken_over = FolderLock(out, "working in this folder", "choose another --out"), ""
    if main:
        require_writable(out)
        taken_over = lock.acquire()
    try:
        if main:
            _tidy(out, resume)
        fabric.launch()
        out = fabric.broadcast(out)
        if resume:
            config = settings_to_go_on(out, config)
        callbacks = Callbacks(watcher if watcher and main else Silent(), interrupted=interrupted)
        if taken_over:
            callbacks.watcher.line(taken_over)
        scratch = fabric.broadcast(Path(tempfile.mkdtemp(prefix=_CACHE, dir=out)) if main else Path())
        trainer = None
        try:
            with memory_advice("training.batch_size", config.training.batch_size):
                trainer = _prepare(config, fabric, data_path, callbacks, scratch)
                ends = None if minutes is None else began + 60 * minutes
                _train(trainer, out, resume, save_every, ends)
                return _finish(trainer, out, command)
        finally:
            if trainer:
                trainer.close()
            if main:
                remove_scratch(scratch)
            if callbacks.run_log:
                callbacks.run_log.close()
    finally:
        lock.release()


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
        fix = f"choose another --out, or see it with: protoexplain app {shlex.quote(str(out))}"
        raise UserError("the folder holds a finished run", str(out), fix)


def _prepare(config: RunConfig, fabric: Fabric, data_path: Path | None, callbacks: Callbacks, scratch: Path) -> Trainer:
    """A trainer of a fresh model on the data that the configuration names."""
    torch.use_deterministic_algorithms(config.training.deterministic, warn_only=True)
    seed_everything(config.training.seed, workers=True, verbose=False)
    data = view_of_run(config.data, data_path)
    model = get_family(config.family).build(config.model, len(data.image_set.classes))
    check_model(config, model)
    if fabric.device.type == "cpu":
        config = _with_threads(config, fabric, model, callbacks.watcher)
    return Trainer(config, model, data, fabric, callbacks=callbacks, scratch=scratch)


def _with_threads(config: RunConfig, fabric: Fabric, model: PrototypeModel, watcher: Watcher) -> RunConfig:
    """The configuration with a number of threads, which is torch's from now on; several processes keep its default."""
    threads, most = config.training.threads, torch.get_num_threads()
    if threads is None and fabric.world_size == 1:
        threads = choose_threads(model.backbone, config.data.image_size)
        if most > 1:
            watcher.line(f"{threads} of up to {most} threads, the fastest in a short test; training.threads sets them")
    if threads is None:
        return config
    torch.set_num_threads(threads)
    return with_training(config, threads=threads)


def _run_id(config: RunConfig, data: DatasetView) -> str:
    """Names what decides the result: the configuration as given and the data, but not where these are."""
    settings = as_yaml(as_given(config.model_dump(mode="json")))
    return hashlib.sha256(f"{settings}{data.fingerprint}".encode()).hexdigest()


def _train(trainer: Trainer, out: Path, resume: bool, save_every: float, ends: float | None) -> None:
    """Go through all stages of a run, or through those that an interrupted run in `out` has not finished.

    Args:
        trainer: Of a fresh model.
        out: Folder of the run.
        resume: Go on with an interrupted run, if there is one.
        save_every: Seconds between saved states.
        ends: When the run shall end, by the monotonic clock.
    """
    config, fabric, model = trainer.config, trainer.fabric, trainer.model
    trainer.callbacks.watcher.line(f"training {config.family} on {trainer.data.image_set.root}, into {out}")
    trainer.callbacks.watcher.line(parts_in_words(trainer.data, config.data))
    for problem in trainer.data.image_set.problems:
        trainer.callbacks.watcher.line(problem)
    for problem in trainer.data.problems:
        trainer.callbacks.watcher.line(f"left out: {problem}")
    models = models_of(config, model)
    run_id, main = _run_id(config, trainer.data), fabric.global_rank == 0
    if resume and (out / STATE_FILE).exists():
        require_same_data(out, trainer.data.image_set)
        trainer.state = load_state(out, models, run_id)
    state = trainer.state
    fabric.barrier()
    if main:
        write_file(out / CONFIG, remembered(config, trainer.data.image_set.root))
        write_file(out / DATA, described(trainer.data.image_set))
        trainer.callbacks.run_log = RunLog(out, state.log_lines)
        trainer.callbacks.save_state = StateSaver(out, state, models, run_id, save_every)
    for each in models:
        each.to(fabric.device)
    if not state.started:
        trainer.model = models[0]
        state.probe = probe_run(trainer)
        start(trainer, models[0])
    set_pace(trainer, models, ends)
    if main:
        write_file(out / CONFIG, remembered(trainer.config, trainer.data.image_set.root))
    state.started = True
    stages = stages_of(trainer.config)
    while (index := next_stage(config, stages, state)) < len(stages):
        if index > state.stage:
            trainer.callbacks.watcher.line("projections bring no more gain: on to the last layer")
            state.stage = index
        trainer.model = models[index]
        train_stage(trainer, stages[index])
        trainer.model = models[index + 1]
        if trainer.model is not models[index]:
            start(trainer, models[0])
        trainer.end_stage()
    trainer.model = model


def _finish(trainer: Trainer, out: Path, command: str) -> RunResult:
    """Write the checkpoints, then forget the state."""
    state, model, data = trainer.state, trainer.model, trainer.data
    last = Snapshot(weights_of(model), state.patches, state.proof, math.nan, "end of the schedule")
    best = state.best if state.best and data.validation else last
    same = all(torch.equal(best.weights[name], last.weights[name]) for name in last.weights)
    metrics: dict[str, Any] = {
        "seconds": round(state.seconds, 1),
        "linear_probe": state.probe,
        "projections": state.projections,
        "train_images": len(data.train),
        "validation_images": len(data.validation),
        "test_images": len(data.test),
    }
    if not same and not (out / "last").exists():
        _save(trainer, out / "last", last, metrics, command)
    result = _save(trainer, out / "best", best, metrics, command)
    (out / STATE_FILE).unlink(missing_ok=True)
    return result


def _save(trainer: Trainer, path: Path, snapshot: Snapshot, metrics: dict[str, Any], command: str) -> RunResult:
    """Save a snapshot of the model as a checkpoint; the first process writes it, all know the result."""
    model, data, fabric = trainer.model, trainer.data, trainer.fabric
    model.load_state_dict(snapshot.weights)
    model.eval()
    patches = snapshot.patches or trainer.find_patches()
    model.finalize(torch.cat([found.similarity for found in patches]))
    validation, test = (class_scores(trainer, part) for part in (data.validation, data.test))
    row = {
        **metrics,
        "test_accuracy": share_right(*test),
        "balanced_test_accuracy": balanced_share_right(*test),
        "validation_accuracy": share_right(*validation),
        "kept": snapshot.place,
        "calibration": calibrate_model(model, validation, test),
    }
    before_projection = snapshot.proof if snapshot.patches else {}
    result: RunResult | None = None
    if fabric.global_rank == 0:
        result = trainer.save(
            path, trainer.origin_of(patches, bool(before_projection)), before_projection, row, command
        )
    everywhere = fabric.broadcast(result)
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
