"""QuanProto VLC: 1 - IoU of the hottest 5 % of its upsampled map, under noise outside its box."""

from __future__ import annotations

from protoexplain.metrics.stats.box_noise_scores import box_noise_metric

INDEPENDENT = 100 * (1 - 0.05 / 1.95)
"""Of two masks of 5 % that have nothing to do with each other."""

METRIC = box_noise_metric(
    "vlc",
    "visual location change (VLC)",
    "Share of the hottest 5 % of a prototype's upsampled map that moves",
    baselines=lambda observed: {"independent places": INDEPENDENT},
)
