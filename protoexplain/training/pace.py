"""The pace of a run: how many epochs fit into the time that there is."""

from __future__ import annotations

import time

from protoexplain.config import RunConfig
from protoexplain.models.stage import Stage
from protoexplain.progress import in_words
from protoexplain.training.forecast import epochs_within, in_epochs, schedule_in_words
from protoexplain.training.schedule import stages_of
from protoexplain.training.timing import Costs, forecasts
from protoexplain.training.trainer import Trainer


def decide_epochs(trainer: Trainer, costs: Costs | None, ends: float) -> RunConfig:
    """The configuration with as many epochs as fit until a time of the monotonic clock; tells the watcher.

    Args:
        trainer: Of the run, before its first stage.
        costs: As measured by the first process; the others take over what it decides.
        ends: When the run shall end.
    """
    config, epochs, told = trainer.config, 0, ""
    if costs is not None:
        left = ends - time.monotonic()

        def predict(stages: list[Stage]) -> float:
            each, end = forecasts(trainer, stages, costs)
            return sum(stage.total for stage in each) + end

        epochs = epochs_within(config, left, predict)
        decided = in_epochs(config, epochs)
        needed = predict(stages_of(decided))
        late = ", longer than wanted: fewer are not possible" if needed > left else ""
        told = f"{schedule_in_words(decided)}, which takes {in_words(needed)} from now{late}"
    epochs, told = trainer.fabric.broadcast((epochs, told))
    trainer.callbacks.watcher.line(told)
    return in_epochs(config, epochs)
