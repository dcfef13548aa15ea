"""Which passes to make for the kinds of passes that metrics ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from protoexplain.metrics.observe import passes
from protoexplain.metrics.observe.all_peaks import AllPeaks
from protoexplain.metrics.observe.attack import Misaligned
from protoexplain.metrics.observe.box_noise import BoxNoise
from protoexplain.metrics.observe.cells import Cells
from protoexplain.metrics.observe.localisation import Localisation
from protoexplain.metrics.observe.masking import Masked, Mode
from protoexplain.metrics.observe.part_cover import PartCover
from protoexplain.metrics.observe.part_rules import BASELINES, RuleSettings, find_rule
from protoexplain.metrics.observe.passes import Pass
from protoexplain.metrics.observe.relevance import Relevance
from protoexplain.metrics.observe.swapped import Swapped
from protoexplain.metrics.observe.views import VIEWS, View
from protoexplain.metrics.observe.without_parts import NamedParts, WithoutItems
from protoexplain.metrics.settings import MeasureSettings

Kind = Literal[
    "scores",
    "certificate",
    "unprojected",
    "lead",
    "patches",
    "peaks",
    "noisy",
    "pixel_noise",
    "views",
    "localisation",
    "cells",
    "deletion",
    "insertion",
    "without",
    "parts",
    "attack",
    "relevance",
    "all_peaks",
    "part_cover",
    "box_noise",
    "swapped",
]


def _noise(settings: MeasureSettings) -> list[passes.Noise]:
    limit, seed = settings.noise_limit, settings.seed
    draws = [(f"noisy/{draw}", draw, settings.noise) for draw in range(settings.draws)]
    levels = [(f"noise level/{level}", 0, level) for level in settings.noise_levels]
    return [passes.Noise(name, "normalised", draw, noise, limit, seed) for name, draw, noise in (*draws, *levels)]


def _pixel_noise(settings: MeasureSettings) -> list[Pass]:
    noise, limit, seed = settings.pixel_noise, settings.pixel_noise_limit, settings.seed
    return [passes.Noise(f"pixel noise/{draw}", "pixel", draw, noise, limit, seed) for draw in range(settings.draws)]


def _masked(mode: Mode) -> Callable[[MeasureSettings], list[Pass]]:
    return lambda settings: [
        Masked(mode, "heat", settings.steps, settings.seed),
        Masked(mode, "random", settings.steps, settings.seed),
    ]


def _parts(settings: MeasureSettings) -> list[Pass]:
    for name in settings.part_rules:
        find_rule(name)
    rules = RuleSettings(settings.box_rule, settings.published_parts, settings.seed)
    return [NamedParts(name, rules) for name in (*settings.part_rules, *BASELINES)]


def _attack(settings: MeasureSettings) -> list[Pass]:
    """The attack, and uniform noise of the same size as its baseline."""
    kinds = dict.fromkeys((settings.attack, settings.attack.model_copy(update={"kind": "uniform"})))
    return [Misaligned(one, settings.box_rule, settings.seed) for one in kinds]


_KINDS: Mapping[Kind, Callable[[MeasureSettings], list[Pass]]] = {
    "scores": lambda settings: [passes.Scores()],
    "certificate": lambda settings: [passes.Certificate()],
    "unprojected": lambda settings: [passes.Unprojected()],
    "lead": lambda settings: [passes.LeadContributions()],
    "patches": lambda settings: [passes.BestCells()],
    "peaks": lambda settings: [passes.Peaks()],
    "noisy": lambda settings: [*_noise(settings)],
    "pixel_noise": _pixel_noise,
    "views": lambda settings: [View(view, settings.seed) for view in VIEWS],
    "localisation": lambda settings: [Localisation(settings.seed)],
    "cells": lambda settings: [Cells()],
    "deletion": _masked("deletion"),
    "insertion": _masked("insertion"),
    "without": lambda settings: [WithoutItems()],
    "parts": _parts,
    "attack": _attack,
    "relevance": lambda settings: [Relevance()],
    "swapped": lambda settings: [Swapped(settings.seed)],
    "box_noise": lambda settings: [BoxNoise(settings.seed)],
    "part_cover": lambda settings: [PartCover(settings.seed)],
    "all_peaks": lambda settings: [AllPeaks(_noise(settings)[0])],
}


def plan_passes(kinds: Iterable[Kind], settings: MeasureSettings) -> list[Pass]:
    """The passes of the given kinds, in a fixed order."""
    wanted = set(kinds)
    return [one for kind, make in _KINDS.items() if kind in wanted for one in make(settings)]
