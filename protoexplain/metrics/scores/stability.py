"""Stability score: does a prototype look at the same parts after imperceptible noise?

Huang et al. 2023.  A prototype is stable on an image if its window hits exactly the same parts with noise as
without.  The published score is one draw of unseeded noise; here each image has its own seed, and several draws are
averaged.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from protoexplain.metrics.averages import mean, over_prototypes
from protoexplain.metrics.base import Curve, Metric, NoSettings, Score
from protoexplain.metrics.hits import averaged, curve, half_windows, knowing_nothing, measured, parts_of
from protoexplain.metrics.observations import Observations
from protoexplain.metrics.parts import part_distances


def stable_share(seen: Observations, clean: Tensor, noisy: Tensor, half_window: float) -> Tensor:
    """[P] share of images in which windows hit the same parts, from distances [N,K,T] without and with noise."""
    same = ((clean <= half_window) == (noisy <= half_window)).all(2)
    return measured(seen, seen.by_prototype(same.long()).double() / seen.images_of.clamp_min(1))


def stability_by_draw(seen: Observations) -> Tensor:
    """float64 [D,P] in percent; NaN for prototypes that no image was there for."""
    parts = parts_of(seen)
    clean = part_distances(seen.peaks, parts)
    drawn = [part_distances(peaks, parts) for peaks in seen.stacked("noisy", "peaks")]
    return torch.stack([100 * stable_share(seen, clean, noisy, seen.half_window) for noisy in drawn])


def compute(seen: Observations, settings: NoSettings) -> Score:
    """100 times the mean over prototypes of the share of images in which they are stable."""
    parts = parts_of(seen)
    own = [part_distances(peaks, parts) for peaks in (seen.peaks, *seen.stacked("noisy", "peaks"))]
    nothing = {
        name: [[part_distances(peaks, parts) for peaks in tables] for tables in draws]
        for name, draws in knowing_nothing(seen, passes=2).items()
    }

    def by_window(half_window: float, clean: Tensor, *noisy: Tensor) -> float:
        draws = [100 * stable_share(seen, clean, one, half_window) for one in noisy]
        return mean(torch.stack(draws).mean(0))

    by_draw = stability_by_draw(seen)
    scores = [mean(draw) for draw in by_draw]
    return replace(
        over_prototypes(seen, by_draw.mean(0)),
        baselines=averaged(nothing, lambda *tables: by_window(seen.half_window, *tables)),
        curves=(
            curve("half window in pixels", half_windows(seen), seen.half_window, by_window, own, nothing),
            *_by_noise(seen, own[0], mean(by_draw.mean(0))),
        ),
        details={
            "by_draw": scores,
            "deviation_over_draws": float(torch.tensor(scores).std()) if len(scores) > 1 else None,
        },
    )


def _by_noise(seen: Observations, clean: Tensor, score: float) -> list[Curve]:
    """The curve over the noise, where further levels were looked at."""
    levels = seen.settings.noise_levels
    if not levels:
        return []
    parts, found = parts_of(seen), {seen.settings.noise: score}
    for level, peaks in zip(levels, seen.stacked("noise level", "peaks"), strict=True):
        found.setdefault(level, mean(100 * stable_share(seen, clean, part_distances(peaks, parts), seen.half_window)))
    x = sorted(found)
    return [Curve("noise", tuple(x), tuple(found[level] for level in x), seen.settings.noise)]


METRIC = Metric(
    title="Stability",
    help="How often a prototype still hits exactly the same parts after weak noise on the image. High is good, but a "
    "peak that never moves is perfectly stable: read it together with consistency.",
    unit="%",
    higher_is_better=True,
    low=0,
    high=100,
    passes=frozenset({"peaks", "noisy"}),
    needs=frozenset({"parts"}),
    compute=compute,
)
