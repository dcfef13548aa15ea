"""Train, killed with SIGKILL at given ticks, then to the end.

Each attempt is a process of its own that resumes what the killed ones left.
"""

import itertools
import os
import signal
from pathlib import Path

from protoexplain.config import resolve
from protoexplain.training.run import train


def attempt(config, data, out, last_tick):
    ticks = itertools.count(1)

    def interrupted():
        if next(ticks) == last_tick:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    train(config, out, data_path=data, resume=True, interrupted=interrupted, save_every=0)


def main(config, data, out, *ticks):
    settings = resolve(config)
    for tick in map(int, ticks):
        child = os.fork()
        if child == 0:
            attempt(settings, Path(data), Path(out), tick)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, f"tick {tick} was never reached: {status}"
    attempt(settings, Path(data), Path(out), 0)
