"""What surrounds a training: who watches it, its log, its saved states, and whether it is to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from protoexplain.progress import Silent, Watcher
from protoexplain.training.forecast import Forecast
from protoexplain.training.run_log import RunLog


class Interrupted(Exception):  # noqa: N818
    """The run was asked to stop; its state is saved."""


@dataclass
class Callbacks:
    """Called by a trainer while it works.

    Args:
        watcher: Is shown the progress.
        run_log: Takes an entry for each epoch and projection; None writes none.
        forecast: Tells how long the run will still take; None where nobody asks.
        save_state: Saves the state of the run: at once if True, else if the last time is long ago.
        interrupted: Asked after each step; True stops the training, with its state saved.
    """

    watcher: Watcher = field(default_factory=Silent)
    run_log: RunLog | None = None
    forecast: Forecast | None = None
    save_state: Callable[[bool], None] = lambda now: None
    interrupted: Callable[[], bool] = lambda: False
