"""Which passes to make for the kinds of passes that metrics ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from protoexplain.metrics import passes
from protoexplain.metrics.passes import Pass
from protoexplain.metrics.settings import MeasureSettings


def _noisy(settings: MeasureSettings) -> list[Pass]:
    limit, seed = settings.noise_limit, settings.seed
    drawn: list[Pass] = [passes.Noisy(draw, settings.noise, limit, seed) for draw in range(settings.draws)]
    return drawn


_KINDS: Mapping[str, Callable[[MeasureSettings], list[Pass]]] = {
    "scores": lambda settings: [passes.Scores()],
    "patches": lambda settings: [passes.Patches()],
    "peaks": lambda settings: [passes.Peaks()],
    "noisy": _noisy,
}


def planned(kinds: Iterable[str], settings: MeasureSettings) -> list[Pass]:
    """The passes of the given kinds, in a fixed order."""
    wanted = set(kinds)
    return [one for kind, make in _KINDS.items() if kind in wanted for one in make(settings)]
