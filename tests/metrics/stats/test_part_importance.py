"""Heat of prototypes: all of the evidence lies on the picture, in proportion to the map or evenly in the box."""

import pytest
import torch

from protoexplain.data.geometry import Box
from protoexplain.metrics.stats.part_importance import nearest_maps, spread_over_boxes, spread_over_maps

SIZE = 24
EVIDENCE = torch.tensor([[3.0, -1.0], [0.5, 2.0], [1.0, 0.0]])


def maps():
    """One with a single hot cell, a constant one, one of zeros."""
    hot = torch.full((6, 6), -5.0)
    hot[1, 4] = 2
    return [hot, torch.full((6, 6), 4.0), torch.zeros(3, 3)]


def test_maps_hold_all_evidence_above_their_least_cell():
    heat = spread_over_maps(maps(), EVIDENCE, SIZE)
    assert heat.sum((1, 2)).tolist() == pytest.approx(EVIDENCE.sum(0).tolist())
    alone = spread_over_maps(maps()[:1], EVIDENCE[:1], SIZE)[0]
    assert divmod(int(alone.argmax()), SIZE) in {(y, x) for y in range(4, 8) for x in range(16, 20)}
    assert float(alone[16:].abs().max()) == 0, "nothing lies where the map is at its least"


@pytest.mark.parametrize("which", [1, 2])
@pytest.mark.parametrize("spread", ["maps", "nearest"])
def test_map_that_says_nothing_lies_everywhere_alike(which, spread):
    one, amount = maps()[which], EVIDENCE[which : which + 1]
    heat = spread_over_maps([one], amount, SIZE) if spread == "maps" else nearest_maps(one[None], amount, SIZE)
    assert torch.allclose(heat, (amount[0].double() / SIZE**2)[:, None, None].expand_as(heat))


def test_boxes_hold_all_evidence_evenly():
    boxes = [Box(0, 0, 4, 4), Box(2, 0, 6, 4), Box(8, 8, 8, 8)]
    heat = spread_over_boxes(boxes, EVIDENCE, SIZE)
    assert heat[:, :4, 2:4].flatten().tolist() == pytest.approx([3.5 / 16] * 8 + [1 / 16] * 8)
    assert heat.sum((1, 2)).tolist() == pytest.approx([3.5, 1.0]), "an empty box holds nothing"
