"""QuanProto PLC: the distance of the first maxima of its map, in cells, under noise outside its box."""

from __future__ import annotations

import math

from protoexplain.metrics.stats.box_noise_scores import box_noise_metric, random_distance

METRIC = box_noise_metric(
    "plc",
    "place change (PLC)",
    "Cells by which the peak of a prototype's map moves",
    unit="cells",
    high=math.inf,
    baselines=lambda observed: {"random cells": random_distance(observed)},
)
