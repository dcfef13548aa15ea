"""QuanProto PRC: the change of its rank among all prototypes, under noise outside its box."""

from __future__ import annotations

import math

from protoexplain.metrics.stats.box_noise_scores import box_noise_metric

METRIC = box_noise_metric(
    "prc",
    "rank change (PRC)",
    "Ranks by which a prototype rises or falls among all",
    unit="ranks",
    high=math.inf,
)
