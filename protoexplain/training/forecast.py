"""How long a run will take, and how many epochs fit into a given time, from what its steps cost.

Plain arithmetic on measured seconds (`timing.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from protoexplain.config import RunConfig, with_training
from protoexplain.models.stage import Stage
from protoexplain.training.schedule import network_stages, scheduled, stages_of
from protoexplain.training.state import RunState

MOST_EPOCHS = 100_000
_PRIOR = 20.0
"""Seconds that count as having gone as forecast, so that the first few do not decide alone."""


@dataclass(frozen=True)
class StageForecast:
    """Seconds that a stage takes.

    Args:
        epochs: Their number.
        before: Filling the caches that it trains on.
        epoch: Each epoch, with its validation.
        step: Each step of an epoch.
        after: Merging and projection.
    """

    epochs: int
    before: float
    epoch: float
    step: float
    after: float

    @property
    def total(self) -> float:
        return self.before + self.epochs * self.epoch + self.after


class Forecast:
    """Tells how long a run will still take; what went faster or slower than forecast corrects the rest.

    Args:
        stages: All of the run.
        end: Seconds from the last stage to the end of the run.
        state: Where the run is now.
        clock: Seconds.
    """

    def __init__(
        self,
        stages: Sequence[StageForecast],
        end: float,
        state: RunState,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stages, self._end, self._clock = tuple(stages), end, clock
        self._began = self._moved = clock()
        self._place = self._place_of(state)
        self._first, _ = self._done(state)

    def left(self, state: RunState) -> float:
        """Seconds from now to the end of a run that is in this state."""
        now, place = self._clock(), self._place_of(state)
        if place != self._place:
            self._place, self._moved = place, now
        before, piece = self._done(state)
        done = before + min(now - self._moved, piece)
        pace = (now - self._began + _PRIOR) / (done - self._first + _PRIOR)
        return max(0.0, sum(stage.total for stage in self._stages) + self._end - done) * pace

    @staticmethod
    def _place_of(state: RunState) -> tuple[int, int, int]:
        return state.stage, state.epoch, state.sums.steps

    def _done(self, state: RunState) -> tuple[float, float]:
        """Forecast seconds of all that is done, and of the piece of work that is being done."""
        done = sum(stage.total for stage in self._stages[: state.stage])
        if state.stage == len(self._stages):
            return done, self._end
        stage, steps = self._stages[state.stage], state.sums.steps
        if stage.epochs and not (state.epoch or steps):
            return done, stage.before
        done += stage.before + state.epoch * stage.epoch + steps * stage.step
        return done, stage.after if state.epoch >= stage.epochs else stage.step


def epochs_within(config: RunConfig, seconds: float, predict: Callable[[list[Stage]], float]) -> int:
    """The most epochs of the network with which a run ends in time; one of each stage where not even these do.

    Args:
        config: Of the run.
        seconds: That there are.
        predict: Stages -> seconds that they take; more with more epochs.
    """
    least = len(network_stages(scheduled(config), config.training))
    low, high = least, least + 1
    while high < MOST_EPOCHS and predict(stages_of(with_training(config, epochs=high))) <= seconds:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if predict(stages_of(with_training(config, epochs=middle))) <= seconds:
            low = middle
        else:
            high = middle
    return low


def schedule_in_words(config: RunConfig) -> str:
    """How many epochs the stages of a run have, and how many they would have as scheduled."""
    planned, stages = scheduled(config), stages_of(config)
    counted = set(network_stages(planned, config.training))
    names = [f"{stage.name} {stage.epochs}" for stage in stages]
    changed = ", ".join(names[place] for place in sorted(counted))
    kept = [names[place] for place, stage in enumerate(stages) if place not in counted and stage.epochs]
    total, was = (sum(each[place].epochs for place in counted) for each in (stages, planned))
    as_before = f"; as before {', '.join(kept)}" if kept else ""
    return f"{total} epochs where the schedule has {was} ({changed}{as_before})"
