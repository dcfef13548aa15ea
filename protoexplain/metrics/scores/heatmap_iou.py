"""Intersection over union of the hot part of the map and the object (Wang et al. 2023)."""

from __future__ import annotations

from dataclasses import replace

from pydantic import field_validator
from torch import Tensor

from protoexplain.metrics.base import Curve, Metric, MetricSettings, Score
from protoexplain.metrics.observe.localisation import BASELINES, LEVELS, OWN, Region
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.scores.content_heatmap import localisation_score, usable
from protoexplain.metrics.stats.averages import mean

_REGIONS = frozenset({Region.USABLE, Region.FULL})


class IoUSettings(MetricSettings):
    """Of the intersection over union."""

    level: float = 0.5
    """Heat from which on a pixel belongs to the hot part; one of the levels of the curve."""

    @field_validator("level")
    @classmethod
    def _of_the_curve(cls, level: float) -> float:
        if level not in LEVELS:
            raise ValueError(f"must be one of {', '.join(map(str, LEVELS))}")
        return level


def compute(observed: Observations, settings: IoUSettings) -> Score:
    """Mean over images, at one level of heat."""
    iou = observed.columns["localisation"]["iou"]

    def line(kind: int) -> tuple[float, ...]:
        return tuple(mean(usable(observed, iou[:, kind, number], _REGIONS)) for number in range(len(LEVELS)))

    chosen: Tensor = iou[..., LEVELS.index(settings.level)]
    baselines = {name: line(kind) for kind, name in BASELINES.items()}
    return replace(
        localisation_score(observed, chosen, _REGIONS),
        curves=(Curve("level of heat", LEVELS, line(OWN), settings.level, baselines),),
    )


METRIC = Metric(
    title="Heat map IoU",
    help="Overlap of the hot half of the map with the object: intersection over union. High is good.",
    higher_is_better=True,
    passes=frozenset({"localisation"}),
    needs=frozenset({"places", "regions"}),
    compute=compute,
    settings=IoUSettings,
)
