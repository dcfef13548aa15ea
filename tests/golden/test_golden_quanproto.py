"""Output completeness of QuanProto, at batch size one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from golden_vectors import Vectors
from torch import Tensor

from protoexplain.metrics.stats.quanproto import (
    cell_distance,
    half_masks,
    marked,
    marked_box,
    mask_change,
    peak_change,
    percentile_masks,
    ranks_of,
    sorted_change,
)

pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def v(golden) -> Vectors:
    return golden("quanproto_scores")


def saliency(v: Vectors, maps: Tensor) -> Tensor:
    size = int(v["saliency_size"])
    return F.interpolate(maps[:, None], (size, size), mode="bicubic", align_corners=False)[:, 0].clamp_min(0)


def test_output_completeness(v):
    maps, noisy, rows = v.tensor("maps_before"), v.tensor("maps_noise"), torch.arange(len(v["maps_before"]))
    top = maps.amax((2, 3)).argsort(dim=1, descending=True, stable=True)[:, : int(v["k"])]
    assert torch.equal(top, v.tensor("topk"))
    found: dict[str, list[Tensor]] = {}
    for rank, chosen in enumerate(top.unbind(1)):
        before, after = maps[rows, chosen], noisy[rows, rank, chosen]
        first, second = saliency(v, before), saliency(v, after)
        boxes = [list(marked_box(pixels)) for pixels in marked(first)]
        assert boxes == v["boxes_before"][:, rank].tolist()
        values = {
            "vlc": 100 * mask_change(percentile_masks(first), percentile_masks(second)),
            "vac": 100 * sorted_change(marked(first), marked(second)),
            "plc": cell_distance(before, after),
            "psc": 100 * peak_change(before, after),
            "prc": (ranks_of(noisy[rows, rank].amax((2, 3)), chosen) - rank).abs().double(),
            "palc": 100 * mask_change(half_masks(before), half_masks(after)),
            "pac": 100 * sorted_change(before, after),
        }
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    for name, columns in found.items():
        expected = v.number(f"completeness_bs1_{name}")
        assert float(torch.stack(columns).mean()) == pytest.approx(expected, rel=1e-5, abs=1e-5), name
