"""Distinctness: do the prototypes of a class look at different places of an image?"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import mean, over_prototypes
from protoexplain.metrics.stats.part_hits import averaged, baseline_peaks, curve, half_windows

_ALONE = "prototypes that are alone in their class"


def pairs_of(observed: Observations) -> Tensor:
    """bool [N,K,K]: different prototypes of an image's class."""
    present = observed.prototypes >= 0
    return present[:, :, None] & present[:, None] & ~torch.eye(present.shape[1], dtype=torch.bool)


def pair_distances(peaks: Tensor) -> Tensor:
    """int [N,K,K]: larger of the distances across and down between peaks [N,K,2] of an image."""
    return (peaks[:, :, None].int() - peaks[:, None].int()).abs().amax(3)


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Mean over prototypes of the share of other prototypes of the class whose peaks lie outside the window."""
    pairs = pairs_of(observed)
    count = observed.by_prototype(pairs.sum(2))

    def apart(half_window: float, distances: Tensor) -> Tensor:
        far = observed.by_prototype(((distances > half_window) & pairs).sum(2))
        return (far / count.double()).masked_fill(count == 0, torch.nan)

    def by_window(half_window: float, distances: Tensor) -> float:
        return mean(apart(half_window, distances))

    own = pair_distances(observed.peaks)
    baselines = {
        name: [[pair_distances(peaks)] for (peaks,) in draws] for name, draws in baseline_peaks(observed).items()
    }
    values = apart(observed.half_window, own)
    return replace(
        over_prototypes(observed, values, observed.unmeasured(values, _ALONE)),
        baselines=averaged(baselines, lambda table: by_window(observed.half_window, table)),
        curves=(
            curve("half window in pixels", half_windows(observed), observed.half_window, by_window, [own], baselines),
        ),
    )


METRIC = Metric(
    title="Distinctness",
    help="Share of the other prototypes of its class that look at another place than a prototype. High is good: each "
    "adds a part of its own; random peaks are far apart too, so read it together with consistency.",
    higher_is_better=True,
    passes=frozenset({"peaks"}),
    needs=frozenset({"places"}),
    compute=compute,
)
