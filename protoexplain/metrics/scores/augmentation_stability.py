"""Stability without part labels: does a prototype's peak follow the content when the image is flipped, cut or moved?

The part-based score (Huang et al. 2023) with known geometry in the place of annotated parts: the place of the peak in
the image is the part, and its position in each view is known exactly.  A prototype follows if its peak in the view
lies within the half window of that position; views that do not show the place do not count.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.scores.stability import stability_by_draw
from protoexplain.metrics.stats.averages import mean, over_prototypes
from protoexplain.metrics.stats.equivariance import NO_VIEW, agreement, baseline_distances, distances, own_peaks
from protoexplain.metrics.stats.part_hits import averaged, curve, half_windows


def equivariance(observed: Observations, half_window: float, apart: Tensor, shown: Tensor) -> Tensor:
    """Percent [P] of views in which the peak follows, of those that show its place; NaN without any.

    `apart` and `shown` are as from `distances`.
    """
    hit = observed.by_prototype(((apart[0, 1:] <= half_window) & shown[0, 1:]).sum(0))
    return 100 * hit.double() / observed.by_prototype(shown[0, 1:].sum(0))


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """100 times the mean over prototypes of the share of views in which their peak follows."""

    def by_window(half_window: float, apart: Tensor, shown: Tensor) -> float:
        return mean(equivariance(observed, half_window, apart, shown))

    own, baselines = distances(observed, own_peaks(observed)), baseline_distances(observed)
    values = equivariance(observed, observed.half_window, *own)
    return replace(
        over_prototypes(observed, values, observed.unmeasured(values, NO_VIEW)),
        baselines=averaged(baselines, lambda *tables: by_window(observed.half_window, *tables)),
        curves=(
            curve("half window in pixels", half_windows(observed), observed.half_window, by_window, own, baselines),
        ),
        details={"agreement_with_stability": _agreement(observed, values)},
    )


def _agreement(observed: Observations, values: Tensor) -> dict[str, object] | None:
    """With the part-based score, where it can be had."""
    if observed.parts is None or not any(name.startswith("noisy/") for name in observed.columns):
        return None
    return agreement(values, stability_by_draw(observed).mean(0))


METRIC = Metric(
    title="Augmentation stability",
    help="How often a prototype's peak follows the content when the image is flipped, cut, shifted or turned. Needs no "
    "part labels. High is good; a peak that stays where it is shows how much of it is due to the window alone.",
    unit="%",
    higher_is_better=True,
    high=100,
    passes=frozenset({"peaks", "views"}),
    needs=frozenset({"places"}),
    compute=compute,
)
