"""QuanProto PSC: the relative change of the maximum of its map, under noise outside its box."""

from __future__ import annotations

import math

from protoexplain.metrics.stats.box_noise_scores import box_noise_metric

METRIC = box_noise_metric(
    "psc",
    "peak change (PSC)",
    "Change of a prototype's activation, up or down,",
    high=math.inf,
)
