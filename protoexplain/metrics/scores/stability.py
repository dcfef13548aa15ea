"""Stability score: does a prototype look at the same parts after imperceptible noise?

Huang et al. 2023.  A prototype is stable on an image if its window hits exactly the same parts with noise as
without.  The published score is one draw of unseeded noise; here each image has its own seed, and several draws are
averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from protoexplain.metrics.base import Curve, Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import mean, over_prototypes
from protoexplain.metrics.stats.part_hits import averaged, baseline_peaks, curve, half_windows, hit_bits


def stable_shares(observed: Observations, clean: Tensor, noisy: Tensor, windows: int) -> Tensor:
    """Percent [P,W] of images in which windows hit the same parts without and with noise, from `hit_bits` [N,K,T]."""
    changed = clean ^ noisy
    by_any_part = changed[:, :, 0].clone()
    for part in changed.unbind(2)[1:]:
        by_any_part |= part
    same = 1 - (by_any_part[:, :, None] >> torch.arange(windows) & 1)
    shares = observed.by_prototype(same).double() / observed.images_of.clamp_min(1)[:, None]
    return 100 * shares.masked_fill(observed.images_of[:, None] == 0, torch.nan)


def stability_by_draw(observed: Observations, passes: str = "noisy") -> Tensor:
    """float64 [D,P] in percent; NaN for prototypes that no image was there for."""
    clean, *drawn = (
        hit_bits(observed, peaks, [observed.half_window])
        for peaks in (observed.peaks, *observed.stacked(passes, "peaks"))
    )
    return torch.stack([stable_shares(observed, clean, noisy, 1)[:, 0] for noisy in drawn])


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """100 times the mean over prototypes of the share of images in which they are stable."""
    score = stability_score(observed, "noisy")
    return replace(score, curves=(*score.curves, *_by_noise(observed, score.value)))


def stability_score(observed: Observations, noise: str) -> Score:
    """The score under the noise of the passes of that name."""
    windows = half_windows(observed)

    def stable(passes: Sequence[Tensor]) -> Tensor:
        """[D,P,W], from the peaks [N,K,2] without noise and of each draw."""
        clean, *drawn = (hit_bits(observed, peaks, windows) for peaks in passes)
        return torch.stack([stable_shares(observed, clean, noisy, len(windows)) for noisy in drawn])

    def by_window(half_window: float, by_draw: Tensor) -> float:
        return mean(by_draw[:, :, windows.index(int(half_window))].mean(0))

    own = stable((observed.peaks, *observed.stacked(noise, "peaks")))
    baselines = {
        name: [[stable(tables)] for tables in draws] for name, draws in baseline_peaks(observed, passes=2).items()
    }
    values = own[:, :, windows.index(observed.half_window)]
    scores = [mean(draw) for draw in values]
    return replace(
        over_prototypes(observed, values.mean(0)),
        baselines=averaged(baselines, lambda by_draw: by_window(observed.half_window, by_draw)),
        curves=(curve("half window in pixels", windows, observed.half_window, by_window, [own], baselines),),
        details={
            "by_draw": scores,
            "deviation_over_draws": float(torch.tensor(scores).std()) if len(scores) > 1 else None,
        },
    )


def _by_noise(observed: Observations, score: float) -> list[Curve]:
    """The curve over the noise, where passes with further levels were made."""
    levels = observed.settings.noise_levels
    if not levels:
        return []
    found = {observed.settings.noise: score}
    for level, values in zip(levels, stability_by_draw(observed, "noise level"), strict=True):
        found.setdefault(level, mean(values))
    x = sorted(found)
    return [Curve("noise", tuple(x), tuple(found[level] for level in x), observed.settings.noise)]


METRIC = Metric(
    title="Stability",
    help="How often a prototype still hits exactly the same parts after weak noise on the image. High is good, but a "
    "peak that never moves is perfectly stable: read it together with consistency.",
    unit="%",
    higher_is_better=True,
    high=100,
    passes=frozenset({"peaks", "noisy"}),
    needs=frozenset({"parts", "places"}),
    compute=compute,
)
