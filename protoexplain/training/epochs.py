"""The epochs of a stage: optimizer, learning rates, batches in order, and what is noted at the end of each."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch
from torch import nn

from protoexplain.data.orders import balanced_order, epoch_order, shard
from protoexplain.fabric import scales_gradients
from protoexplain.models.batch_norm import share_batch_norm
from protoexplain.models.stage import Stage
from protoexplain.training import engine
from protoexplain.training.inputs import InputBatch, Inputs
from protoexplain.training.trainer import Trainer

EPOCHS_PER_STAGE = 100_000
"""Epoch numbers of a stage start at its index times this, so that no two epochs draw the same pictures."""


def train_epochs(trainer: Trainer, stage: Stage, trained: frozenset[str], inputs: Inputs, validation: Inputs) -> None:
    """Train the groups that `engine.freeze` left free for what is left of a stage's epochs, on given inputs."""
    state, fabric, training, kind = trainer.state, trainer.fabric, trainer.config.training, inputs.kind
    if fabric.world_size > 1:
        share_batch_norm(trainer.model)
    step: nn.Module = engine.TrainStep(trainer.model, kind, frozenset(stage.losses))
    fused = training.gradient_clip is None or not scales_gradients(fabric)
    batch_size, of_epoch = batch_size_of(trainer, stage), passes(trainer, stage, len(inputs))
    stage = _slowed(stage, training.passes / of_epoch)
    raw_optimizer = engine.make_optimizer(trainer.model, stage, trained, fused)
    optimizer: torch.optim.Optimizer | None = None
    if raw_optimizer is not None:
        step = fabric.setup_module(step)
        if stage.name in state.optimizers:
            engine.restore_moments(raw_optimizer, state.optimizers[stage.name])
        optimizer = fabric.setup_optimizers(raw_optimizer)  # type: ignore[assignment]
    steps = of_epoch * steps_of_pass(trainer, stage, len(inputs))
    while state.epoch < stage.epochs:
        number = state.epoch + 1
        done = state.epochs_done.get(stage.name, 0)
        engine.set_training_mode(trainer.model, training.published_batch_norm)
        if stage.annealing:
            trainer.model.anneal(stage.annealing.done(number))
        trainer.model.begin_epoch(steps, state.sums.steps)
        epoch = state.stage * EPOCHS_PER_STAGE + state.epoch
        engine.set_learning_rates(raw_optimizer, stage, done + 1 + state.sums.steps / steps)
        label = f"{stage.name} {number}/{stage.epochs}"
        settings = engine.StepSettings(
            engine.loss_weights(stage, number),
            trained,
            stage.alternate,
            training.gradient_clip,
            training.idle_branch_updates,
        )

        def after_step(
            sums: engine.EpochSums,
            label: str = label,
            done: int = done,
            opt: torch.optim.Optimizer | None = raw_optimizer,
        ) -> None:
            engine.set_learning_rates(opt, stage, done + 1 + sums.steps / steps)
            if opt is not None:
                state.optimizers[stage.name] = opt.state_dict()
            trainer.tick(label, sums.steps, steps, together=True)

        started = time.perf_counter()
        engine.train_epoch(
            fabric,
            step,
            trainer.model,
            optimizer,
            _passes(trainer, inputs, epoch, of_epoch, batch_size),
            settings,
            state.sums,
            lambda indices: ", ".join(trainer.data.train[i].id for i in indices.unique().tolist()),
            after_step,
        )
        _share_buffers(trainer)
        _finish_epoch(trainer, stage, number, trained, validation, time.perf_counter() - started)
        state.epochs_done[stage.name] = done + 1
        state.epoch, state.sums = number, engine.EpochSums()
        trainer.callbacks.save_state(False)


def _slowed(stage: Stage, factor: float) -> Stage:
    """With all learning rates multiplied by a factor."""
    return stage.model_copy(update={"lr": {group: rate * factor for group, rate in stage.lr.items()}})


def passes(trainer: Trainer, stage: Stage, images: int) -> int:
    """How often an epoch of a stage shows each of so many images."""
    steps = max(1, stage.epochs * steps_of_pass(trainer, stage, images))
    return max(trainer.config.training.passes, -(-stage.min_steps // steps))


def batch_size_of(trainer: Trainer, stage: Stage) -> int:
    """Images in a step of one process."""
    return max(1, (stage.batch_size or trainer.config.training.batch_size) // trainer.fabric.world_size)


def steps_of_pass(trainer: Trainer, stage: Stage, images: int) -> int:
    """Steps that show each of so many images once."""
    return -(-images // (batch_size_of(trainer, stage) * trainer.fabric.world_size))


def _passes(trainer: Trainer, inputs: Inputs, epoch: int, count: int, batch_size: int) -> Iterator[InputBatch]:
    """The batches of an epoch from the step on that it has come to: in each pass every image once, or every class
    equally often.
    """
    seed, fabric, start = trainer.config.training.seed, trainer.fabric, trainer.state.sums.steps
    balanced, labels = trainer.config.training.balanced, [record.label for record in trainer.data.train]
    for number in range(count):
        drawn = epoch * count + number
        whole = balanced_order(labels, seed, drawn) if balanced else epoch_order(len(inputs), seed, drawn)
        order = shard(whole, fabric.global_rank, fabric.world_size)
        steps = -(-len(order) // batch_size)
        if start < steps:
            yield from inputs.epoch(drawn, order, batch_size, start)
        start = max(0, start - steps)


def _over_processes(trainer: Trainer, means: dict[str, float]) -> dict[str, float]:
    """Means over all processes, of which each has seen as many images."""
    if trainer.fabric.world_size == 1:
        return means
    shared = trainer.fabric.all_reduce(torch.tensor(list(means.values()), dtype=torch.float64), reduce_op="mean")
    assert isinstance(shared, torch.Tensor)
    return dict(zip(means, shared.tolist(), strict=True))


def _share_buffers(trainer: Trainer) -> None:
    """Give all processes what the first keeps beside its weights."""
    if trainer.fabric.world_size > 1:
        for buffer in trainer.model.buffers():
            torch.distributed.broadcast(buffer, src=0)


def _finish_epoch(
    trainer: Trainer, stage: Stage, number: int, trained: frozenset[str], validation: Inputs, seconds: float
) -> None:
    scored = "head" in trained or trainer.model.prototype_source.projected
    accuracy = trainer.accuracy(validation) if scored and len(validation) else math.nan
    means = _over_processes(trainer, trainer.state.sums.means())
    trainer.log(
        {
            "stage": stage.name,
            "epoch": number,
            **means,
            "validation_accuracy": accuracy,
            "seconds": round(seconds, 3),
        },
    )
    held = "" if math.isnan(accuracy) else f", validation {accuracy:.1%}"
    trainer.callbacks.watcher.line(
        f"{stage.name} {number}/{stage.epochs}: loss {means['loss']:.4f}{held} ({seconds:.1f} s)"
    )
    if stage.returns or trainer.state.patches or (not trainer.model.prototype_source.projected and "head" in trained):
        last = number == stage.epochs
        if last or not stage.anneals:
            settled = last and (stage.anneals or stage.returns)
            margin = 2 * _standard_error(accuracy, len(validation)) if settled else 0.0
            trainer.snapshot_if_best(accuracy, f"{stage.name} {number}", margin)


def _standard_error(share: float, count: int) -> float:
    """Of a share of so many images; 0 where there is none."""
    return math.sqrt(share * (1 - share) / count) if count else 0.0
