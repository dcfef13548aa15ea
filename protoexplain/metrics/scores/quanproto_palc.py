"""QuanProto PALC: 1 - IoU of the cells above half of the range of its map, under noise outside its box."""

from __future__ import annotations

from protoexplain.metrics.stats.box_noise_scores import box_noise_metric

METRIC = box_noise_metric(
    "palc",
    "map location change (PALC)",
    "Share of the cells above half of the range of a prototype's map that moves",
)
