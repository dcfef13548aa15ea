"""The pace of a run: how many epochs fit into the time that there is, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Sequence

from protoexplain.config import RunConfig, with_training
from protoexplain.models.base import PrototypeModel
from protoexplain.models.stage import Stage
from protoexplain.progress import TimedWatcher, in_words
from protoexplain.training.forecast import Forecast, epochs_within, schedule_in_words
from protoexplain.training.schedule import stages_of
from protoexplain.training.timing import RunCosts, forecasts, measure_costs
from protoexplain.training.trainer import Trainer


def set_pace(trainer: Trainer, models: Sequence[PrototypeModel], ends: float | None) -> None:
    """Before the stages of a run: decide its epochs where that is open, and forecast its end for a `TimedWatcher`.

    Only the first process measures; the others take over what it decides.

    Args:
        trainer: Of the run; its configuration gets the epochs.
        models: What each stage trains.
        ends: When the run shall end, by the monotonic clock; None as scheduled.
    """
    callbacks, begins = trainer.callbacks, not trainer.state.started
    shown, decided = isinstance(callbacks.watcher, TimedWatcher), trainer.config.training.epochs is not None
    undecided = begins and not decided and ends is not None
    costs = None
    if trainer.fabric.global_rank == 0 and (shown or undecided):
        costs = measure_costs(trainer, stages_of(trainer.config), models)
    if undecided and ends is not None:
        trainer.config = _within(trainer, costs, ends)
    elif decided:
        callbacks.watcher.line(schedule_in_words(trainer.config))
    elif ends is not None:
        callbacks.watcher.line("the run has begun before, and goes on as scheduled whatever time there is")
    if shown and costs is not None:
        callbacks.forecast = Forecast(*forecasts(trainer, stages_of(trainer.config), costs), trainer.state)


def _within(trainer: Trainer, costs: RunCosts | None, ends: float) -> RunConfig:
    """The configuration with as many epochs as fit until then; tells the watcher."""
    config, epochs, told = trainer.config, 0, ""
    if costs is not None:
        left = ends - time.monotonic()

        def predict(stages: list[Stage]) -> float:
            each, end = forecasts(trainer, stages, costs)
            return sum(stage.total for stage in each) + end

        epochs = epochs_within(config, left, predict)
        decided = with_training(config, epochs=epochs)
        needed = predict(stages_of(decided))
        late = ", longer than wanted: fewer are not possible" if needed > left else ""
        told = f"{schedule_in_words(decided)}, which takes {in_words(needed)} from now{late}"
    epochs, told = trainer.fabric.broadcast((epochs, told))
    trainer.callbacks.watcher.line(told)
    return with_training(config, epochs=epochs)
