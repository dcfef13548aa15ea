"""QuanProto PAC: the change of the sorted values of its map, under noise outside its box."""

from __future__ import annotations

from protoexplain.metrics.stats.box_noise_scores import box_noise_metric

METRIC = box_noise_metric(
    "pac",
    "map activation change (PAC)",
    "Change of the values of a prototype's map, wherever they are,",
)
