"""How many threads of the processor compute fastest on this machine, as busy as it is now."""

from __future__ import annotations

import copy
import math
import time

import torch
from torch import Tensor, nn

_PICTURES = 2
_TRIES = 2
_WORTH = 0.9
"""More threads are taken where they need at most this share of the time."""


def choose_threads(backbone: nn.Module, image_size: int) -> int:
    """Set the number of torch's threads to what computes a backbone fastest, and return it.

    Numbers are tried upwards, by doubling, while they help.  Too many threads on a busy machine wait for each other and
    are many times slower than one; so each try is given up as soon as it takes longer than what it is compared with.
    Random numbers and the backbone stay as they are.

    Args:
        backbone: On the CPU.
        image_size: Side of the pictures in pixels.

    Returns:
        At most torch's present number, which OMP_NUM_THREADS sets.
    """
    most = torch.get_num_threads()
    if most == 1:
        return 1
    stopwatch, pictures = _Stopwatch(backbone), torch.full((_PICTURES, 3, image_size, image_size), 0.5)
    best, least = 1, stopwatch.seconds(pictures, 1, math.inf)
    while best < most:
        more = min(2 * best, most)
        seconds = stopwatch.seconds(pictures, more, _WORTH * least)
        if seconds > _WORTH * least:
            break
        best, least = more, seconds
    torch.set_num_threads(best)
    return best


class _TooSlow(Exception):  # noqa: N818
    """A try takes longer than it may."""


class _Stopwatch:
    """Times a copy of a backbone, looking at the clock after each of its layers."""

    def __init__(self, backbone: nn.Module) -> None:
        self._backbone, self._deadline = copy.deepcopy(backbone).eval(), math.inf
        for module in self._backbone.modules():
            module.register_forward_hook(self._check_clock)

    def seconds(self, pictures: Tensor, threads: int, limit: float) -> float:
        """The shortest of a few tries; infinite where all of them took longer than `limit`."""
        torch.set_num_threads(threads)
        return min(self._once(pictures, limit) for _ in range(_TRIES))

    @torch.no_grad()
    def _once(self, pictures: Tensor, limit: float) -> float:
        started = time.perf_counter()
        self._deadline = started + limit
        try:
            self._backbone(pictures)
        except _TooSlow:
            return math.inf
        return time.perf_counter() - started

    def _check_clock(self, *given: object) -> None:
        if time.perf_counter() > self._deadline:
            raise _TooSlow
