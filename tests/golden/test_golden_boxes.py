"""ProtoPNet: upsampled maps, boxes of high activation, overlays and receptive fields."""

from __future__ import annotations

import pytest
import torch
from golden_vectors import Vectors, close

from protoexplain.regions.boxes import high_activation_boxes, overlay, upsample
from protoexplain.regions.receptive_field import receptive_field

pytestmark = pytest.mark.golden


def groups_with_range(v: Vectors) -> list[Vectors]:
    """All maps but constant ones, where rounding decides the box."""
    groups = [v.under(f"{group}/") for group in v.groups()]
    return [g for g in groups if g["activation"].max() > g["activation"].min()]


def test_upsampling(golden):
    v = golden("protopnet_boxes")
    for group in v.groups():
        g = v.under(f"{group}/")
        size, stride = int(g["size"]), int(g["upsampled_stride"])
        pixels = upsample(g.tensor("activation"), size, size)
        close(pixels[::stride, ::stride], g["upsampled"], atol=1e-5)
        close(pixels.double().sum(), g["upsampled_sum"], atol=1e-5 * size * size)


def test_boxes_of_high_activation(golden):
    groups = groups_with_range(golden("protopnet_boxes"))
    assert groups
    for g in groups:
        pixels = upsample(g.tensor("activation"), int(g["size"]), int(g["size"]))
        percentiles = [float(key.removeprefix("box_p")) for key in g if key.startswith("box_p")]
        assert percentiles
        for percentile in percentiles:
            (box,) = high_activation_boxes(pixels[None], percentile)
            assert [box.y0, box.y1, box.x0, box.x1] == g[f"box_p{percentile:g}"].tolist(), g.prefix
            threshold = torch.quantile(pixels.flatten(), percentile / 100)
            close(threshold, g[f"threshold_p{percentile:g}"], atol=1e-5)


def test_overlays(golden):
    groups = [g for g in groups_with_range(golden("protopnet_boxes")) if "overlay" in g]
    assert groups
    for g in groups:
        pixels = upsample(g.tensor("activation"), int(g["size"]), int(g["size"]))
        close(torch.from_numpy(overlay(g["image"], pixels)), g["overlay"], atol=0.01)


def test_receptive_fields(golden):
    v = golden("protopnet_receptive_field")
    compared = 0
    for group in v.groups():
        g = v.under(f"{group}/")
        layers = (g["kernel_sizes"].tolist(), g["strides"].tolist(), g["paddings"].tolist())
        for key in [key for key in g if key.startswith("rf_")]:
            input_size, prototype_size = key.removeprefix("rf_").split("_p")
            field = receptive_field(*layers, int(input_size), int(prototype_size))
            assert [field.cells, field.jump, field.size, field.start] == g[key].tolist(), (group, key)
            boxes = key.replace("rf_", "boxes_")
            expected = g[f"{boxes}_diag" if f"{boxes}_diag" in g else boxes]
            n = field.cells
            if expected.ndim == 2:
                cells = [(a, 2 * a % n) for a in range(n)]
            else:
                cells = [(row, column) for row in range(n) for column in range(n)]
            actual = [field.box(*cell) for cell in cells]
            assert [[b.y0, b.y1, b.x0, b.x1] for b in actual] == expected.reshape(-1, 4).tolist(), (
                group,
                key,
            )
            compared += len(actual)
    assert compared
