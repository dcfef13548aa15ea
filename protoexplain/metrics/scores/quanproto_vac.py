"""QuanProto VAC: the change of the sorted hottest 5 % of its upsampled map, under noise outside its box."""

from __future__ import annotations

from protoexplain.metrics.stats.box_noise_scores import box_noise_metric

METRIC = box_noise_metric(
    "vac",
    "visual activation change (VAC)",
    "Change of the values of the hottest 5 % of a prototype's upsampled map, wherever they are,",
)
