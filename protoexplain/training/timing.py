"""What the steps of a run cost on this machine, measured by a few of each stage on copies of its models.

The run itself, its models and random numbers stay as they are.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from protoexplain.models.base import PrototypeModel
from protoexplain.models.processes import alone
from protoexplain.models.stage import Stage
from protoexplain.training import engine
from protoexplain.training.callbacks import Callbacks
from protoexplain.training.epochs import batch_size_of, passes, steps_of_pass
from protoexplain.training.forecast import StageForecast
from protoexplain.training.inputs import MAPS, CachedInputs, InputBatch
from protoexplain.training.stage_inputs import computation, input_kind, views_of
from protoexplain.training.trainer import Trainer

_STEPS, _ENOUGH = 5, 1.0
"""So many steps of a stage are timed, or fewer that take so many seconds; two at least."""
_FORWARD = 1 / 3
"""Share of a training step that goes forwards."""


@dataclass(frozen=True)
class StageCost:
    """Seconds that pieces of a stage take.

    Args:
        view: Computing what the cache holds of an image once; 0 where the stage trains on pictures.
        step: A training step.
    """

    view: float
    step: float


@dataclass(frozen=True)
class RunCosts:
    """Seconds that pieces of a run take.

    Args:
        picture: Reading a clean image, and the backbone on it.
        stages: By place in the schedule; 0 for what is over.
    """

    picture: float
    stages: tuple[StageCost, ...]


def measure_costs(trainer: Trainer, stages: Sequence[Stage], models: Sequence[PrototypeModel]) -> RunCosts:
    """Time a few steps of the stages that a run has yet to go through, in this process alone; the others cost nothing
    any more.

    Args:
        trainer: Of the run.
        stages: All of the run.
        models: What they train.
    """
    fabric = trainer.fabric
    devices = [fabric.device] if fabric.device.type == "cuda" else []
    with torch.random.fork_rng(devices), alone():
        copies = copy.deepcopy(list(models))
        known: dict[str, StageCost] = {}
        costs = []
        for place, stage in enumerate(stages):
            idle = place < trainer.state.stage or not stage.epochs
            key = f"{stage.name} {sorted(stage.lr)} {sorted(stage.losses)}"
            if not idle and key not in known:
                known[key] = _stage_cost(replace(trainer, model=copies[place], callbacks=Callbacks()), stage)
            costs.append(StageCost(0, 0) if idle else known[key])
        return RunCosts(_picture_cost(replace(trainer, model=copies[-1], callbacks=Callbacks())), tuple(costs))


def forecasts(trainer: Trainer, stages: Sequence[Stage], costs: RunCosts) -> tuple[list[StageForecast], float]:
    """Seconds of each stage, and from the last one to the end of the run."""
    data = trainer.data
    train, held_out, test = len(data.train), len(data.validation), len(data.test)
    looks = (train + 2 * (held_out + test)) * costs.picture
    found = []
    for stage, cost in zip(stages, costs.stages, strict=True):
        shown = passes(trainer, stage, train)
        forward = held_out * cost.step * _FORWARD / batch_size_of(trainer, stage)
        found.append(
            StageForecast(
                epochs=stage.epochs,
                before=cost.view * (train * views_of(trainer, stage.epochs * shown) + held_out) if stage.epochs else 0,
                epoch=shown * steps_of_pass(trainer, stage, train) * cost.step + forward,
                step=cost.step,
                after=looks * stage.project + train * costs.picture * (stage.merge is not None),
            )
        )
    return found, 2 * (train + held_out + test) * costs.picture


def _picture_cost(trainer: Trainer) -> float:
    """Of a clean training image."""
    size = trainer.config.training.batch_size
    order = list(range(min(len(trainer.data.train), size)))
    model, seconds = trainer.model.eval(), 0.0
    for _ in range(2):
        started = time.perf_counter()
        with torch.no_grad():
            for images, _, _ in trainer.clean_batches(order, ""):
                float(model.backbone(images).sum())
        seconds = time.perf_counter() - started
    return seconds / len(order)


def _stage_cost(trainer: Trainer, stage: Stage) -> StageCost:
    model, training = trainer.model, trainer.config.training
    stage, trained = trainer.begin(stage)
    kind, size = input_kind(trainer, stage, trained), batch_size_of(trainer, stage)
    order = list(range(min(len(trainer.data.train), size)))
    pictures = trainer.pictures.inputs(trainer.data.train, augmented=True)
    for _ in range(2):
        started = time.perf_counter()
        (batch,) = pictures.epoch(0, order, size)
        reading = time.perf_counter() - started
    view = 0.0
    if kind != "images":
        model.eval()
        started = time.perf_counter()
        with torch.no_grad():
            values = computation(model, kind, trainer.fabric.device)(batch.values)
        view = (reading + time.perf_counter() - started) / len(order)
        batch = _cached(kind, values, batch, len(order))
        reading = 0.0
    engine.set_training_mode(model, training.published_batch_norm)
    return StageCost(view, reading + _step_seconds(trainer, stage, trained, kind, batch))


def _cached(kind: str, values: Tensor, batch: InputBatch, count: int) -> InputBatch:
    """The batch as it comes out of a cache, in the first of its views."""
    rows = values[:count]
    stored = rows.permute(0, 2, 3, 1).half() if kind in MAPS else rows
    (found,) = CachedInputs(kind, (stored[None],), batch.labels[:count]).epoch(0, range(count), count)  # type: ignore[arg-type]
    return found


def _step_seconds(trainer: Trainer, stage: Stage, trained: frozenset[str], kind: str, batch: InputBatch) -> float:
    """The mean over a few steps, but for the first one, which prepares much."""
    step = engine.TrainStep(trainer.model, kind, frozenset(stage.losses)).to(trainer.fabric.device)  # type: ignore[arg-type]
    optimizer = engine.make_optimizer(trainer.model, stage, trained)
    settings = engine.StepSettings(engine.loss_weights(stage, 1), trained, stage.alternate)
    times = [time.perf_counter()]

    def batches() -> Iterator[InputBatch]:
        while len(times) < 3 or (len(times) <= _STEPS and times[-1] - times[0] < _ENOUGH):
            yield batch

    with trainer.fabric.autocast() if trained else nullcontext():
        engine.train_epoch(
            trainer.fabric,
            step,
            trainer.model,
            optimizer,
            batches(),
            settings,
            engine.EpochSums(),
            lambda indices: "of a short test",
            lambda sums: times.append(time.perf_counter()),
        )
    return (times[-1] - times[1]) / (len(times) - 2)
